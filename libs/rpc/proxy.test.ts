/** Which addresses are reached through the proxy that the environment names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgument } from '#errors/errors.js';
import { proxyFor } from './proxy.js';

const proxied = (host: string, env: Record<string, string>, port = 7011) => proxyFor({ host, port }, env) !== undefined;
const http = { http_proxy: 'http://proxy.corp:3128' };

test('every variable is read, in lower case and in upper case, the special one first', () => {
  for (const name of ['grpc_proxy', 'https_proxy', 'http_proxy'])
    for (const variable of [name, name.toUpperCase()]) {
      const found = proxyFor({ host: 'data.corp', port: 7011 }, { [variable]: 'http://proxy.corp:3128' });
      assert.equal(found?.address, 'proxy.corp:3128', variable);
      assert.equal(found?.shown, `the proxy http://proxy.corp:3128 (${variable})`);
    }
  const all = { grpc_proxy: '', GRPC_PROXY: 'http://g:1', https_proxy: 'http://s:1', http_proxy: 'http://p:1' };
  assert.equal(proxyFor({ host: 'data.corp', port: 7011 }, all)?.address, 'g:1');
  assert.equal(proxied('data.corp', {}), false);
  assert.equal(proxied('data.corp', { http_proxy: '', HTTPS_PROXY: '  ' }), false);
});

test('this machine is never reached through a proxy', () => {
  const own = [
    '127.0.0.1',
    '127.9.8.7',
    'localhost',
    'LocalHost',
    'localhost.',
    'api.localhost',
    '::1',
    '::ffff:127.0.0.1',
    '0.0.0.0',
    '::',
  ];
  for (const host of own) assert.equal(proxied(host, http), false, host);
  for (const host of ['128.0.0.1', 'localhost.corp', 'mylocalhost', '::2', 'fe80::1']) assert.equal(proxied(host, http), true, host);
});

test('no_proxy lists names and all below them, addresses, ranges and ports; * is everything', () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['*', ['data.corp', '10.0.0.1', '2001:db8::1'], []],
    ['corp', ['corp', 'data.corp', 'DATA.Corp.'], ['mycorp', 'corp.org']],
    ['.corp', ['data.corp', 'corp'], ['mycorp']],
    ['*.corp', ['data.corp'], ['mycorp']],
    ['data.corp', ['data.corp', 'a.data.corp'], ['metadata.corp']],
    ['10.0.0.0/8', ['10.1.2.3', '::ffff:10.1.2.3'], ['11.0.0.1', 'ten.corp']],
    ['10.0.0.1', ['10.0.0.1'], ['10.0.0.10', '110.0.0.1']],
    ['2001:db8::/32', ['2001:db8::9'], ['2001:db9::9', '10.0.0.1']],
    ['[2001:db8::1]', ['2001:db8::1', '2001:db8:0::1'], ['2001:db8::2']],
    ['data.corp:7011', ['data.corp'], ['other.corp']],
    ['data.corp:80', [], ['data.corp']],
    ['a.corp, b.corp\tc.corp', ['a.corp', 'b.corp', 'c.corp'], ['d.corp']],
    // grpc-js itself takes an empty entry for the end of every name.
    ['a.corp,,', ['a.corp'], ['b.corp']],
    ['10.0.0.0/99,x/y,:,[', [], ['10.0.0.1']],
  ];
  for (const variable of ['no_proxy', 'NO_PROXY', 'no_grpc_proxy'])
    for (const [list, direct, through] of cases) {
      for (const host of direct) assert.equal(proxied(host, { ...http, [variable]: list }), false, `${host} with ${list}`);
      for (const host of through) assert.equal(proxied(host, { ...http, [variable]: list }), true, `${host} with ${list}`);
    }
});

test('a proxy is http://host:port, with or without the scheme; what it cannot be is refused without its password', () => {
  const found = (value: string) => proxyFor({ host: 'data.corp', port: 7011 }, { https_proxy: value });
  assert.equal(found('proxy:8080')?.address, 'proxy:8080');
  assert.equal(found('http://proxy')?.address, 'proxy:80');
  assert.equal(found('http://[2001:db8::1]:8080')?.address, '[2001:db8::1]:8080');
  assert.deepEqual(
    [found('http://me:p%40ss@proxy:1')?.credentials, found('http://me:100%25@proxy:1')?.credentials, found('me:a%zz@proxy:1')?.credentials],
    ['me:p@ss', 'me:100%', 'me:a%zz'],
  );
  assert.doesNotMatch(found('http://me:secret@proxy:1')?.shown ?? '', /me|secret/);
  for (const value of ['socks5://me:secret@proxy:1', 'https://me:secret@proxy:1', 'http://me:se/cret@proxy:1', 'http://'])
    assert.throws(
      () => found(value),
      (error) =>
        error instanceof InvalidArgument && /must be http:\/\/host:port/.test(error.message) && !/secret|cret@/.test(error.message),
      value,
    );
});
