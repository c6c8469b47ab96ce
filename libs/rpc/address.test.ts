/** Addresses: every form that is dialled, and what is said of those that are none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InvalidArgument } from '#errors/errors.js';
import { endpointText, parseAddress, wrongAddress } from './address.js';

test('names, IPv4, IPv6 in brackets, lists and gRPC targets', () => {
  const targets = {
    'localhost:7013': 'dns:///localhost:7013',
    '127.0.0.1:1': 'dns:///127.0.0.1:1',
    '[::1]:50051': 'dns:///[::1]:50051',
    'data-1.internal:65535': 'dns:///data-1.internal:65535',
    'dns:7013': 'dns:///dns:7013',
    'dns:///data:7011': 'dns:///data:7011',
    'dns:data:7011': 'dns:///data:7011',
    'dns:///[2001:db8::1]:7011': 'dns:///[2001:db8::1]:7011',
    '127.0.0.1:1,localhost:2 , 10.0.0.1:3': 'ipv4:127.0.0.1:1,127.0.0.1:2,10.0.0.1:3',
    '[::1]:1,[2001:db8::2]:2': 'ipv6:[::1]:1,[2001:db8::2]:2',
    'ipv4:10.0.0.1:3': 'ipv4:10.0.0.1:3',
    'unix:/run/trainer.sock': 'unix:/run/trainer.sock',
  };
  for (const [text, target] of Object.entries(targets)) assert.equal(parseAddress(text).target, target, text);
});

test('an address that cannot be dialled is refused with what to write instead', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['localhost', /the port is missing, for example localhost:7013$/],
    ['10.0.0.1', /for example 10\.0\.0\.1:7013$/],
    ['[::1]', /for example \[::1\]:7013$/],
    ['dns:///data', /for example data:7013$/],
    ['::1', /IPv6 address in brackets, then its port, for example \[::1\]:7013$/],
    ['::1:7013', /in brackets/],
    ['2001:db8::7', /in brackets/],
    ['http://localhost:7013', /without http:\/\/, for example localhost:7013$/],
    ['https://trainer.example.com/', /without https:\/\/, for example trainer\.example\.com:7013$/],
    ['grpc://user:secret@[::1]:9/x', /without grpc:\/\/, for example \[::1\]:9$/],
    ['localhost:7013/', /without a path: localhost:7013$/],
    ['localhost:0', /a port from 1 to 65535/],
    ['localhost:70000', /a port from 1 to 65535/],
    ['localhost:http', /a port from 1 to 65535/],
    ['[abc]:1', /a port from 1 to 65535/],
    ['', /a port from 1 to 65535/],
    ['a:1,b:2', /give one name that stands for all of them, dns:\/\/\/name:port/],
    ['127.0.0.1:1,[::1]:2', /several IPv4 addresses or several IPv6 addresses/],
    ['ipv6:127.0.0.1:1', /family ipv6/],
    ['dns:///a:1,b:2', /one name and one port/],
  ];
  for (const [text, reason] of cases) {
    assert.throws(
      () => parseAddress(text, '--trainer'),
      (error) => {
        assert.ok(error instanceof InvalidArgument);
        const [violation] = error.violations;
        assert.equal(violation?.field, '--trainer');
        assert.match(violation?.allowed ?? '', reason, text);
        assert.doesNotMatch(violation?.allowed ?? '', /secret/);
        return true;
      },
    );
  }
});

test('what is written of an endpoint is read as that endpoint, and any text is an address or refused', () => {
  const host = fc.oneof(fc.ipV4(), fc.domain(), fc.constantFrom('::1', '2001:db8::5', 'fe80::1'));
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 65_535 }), (name, port) => {
      assert.deepEqual(parseAddress(endpointText({ host: name, port })).endpoints, [{ host: name, port }]);
    }),
    { seed: 15 },
  );
  const text = fc.string({ unit: fc.constantFrom(...'ab:/.,[]@ 17dnsipv4%#?'), maxLength: 24 });
  fc.assert(
    fc.property(text, (anything) => {
      if (wrongAddress(anything) === undefined) assert.ok(parseAddress(anything).target.length > 0);
      else assert.throws(() => parseAddress(anything), InvalidArgument);
    }),
    { seed: 16, numRuns: 2000 },
  );
});
