import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { InvalidArgument } from '#errors/errors.js';
import { defineConfig } from './config.js';
import { bool, integer, serviceAddress, serviceOptions } from './service-options.js';
import { readContents, type ServerTls, serverPaths, serverTlsOf, type TlsPaths } from './tls/read-tls.js';

const config = defineConfig('data', {
  port: { schema: integer(0, 65535).default(7011), help: 'gRPC port' },
  store: { schema: z.string().min(1), help: 'where things are kept' },
  dataRoots: { schema: z.array(z.string()).default([]), help: 'allowed folders', list: true },
  allowRemote: { schema: bool(false), help: 'serve others', flag: true },
});

let folder = '';
let file = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropstream-config-'));
  file = join(folder, 'config.json');
  await writeFile(
    file,
    JSON.stringify({ data: { port: 3, store: 'file', 'data-roots': ['/f'], allow_remote: true }, trainer: { port: 9 } }),
  );
});
after(() => rm(folder, { recursive: true }));

const fieldsOf = (run: () => unknown): string[] => {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof InvalidArgument, String(error));
    return error.violations.map((v) => v.field);
  }
  return [];
};

test('flags take precedence over the environment, the environment over the file, and the file over defaults', () => {
  const env = { DROPSTREAM_DATA_PORT: '2', DROPSTREAM_STORE: 'env' };
  assert.deepEqual(config.parse({ argv: ['--port', '1', '--config', file], env }), {
    port: 1,
    store: 'env',
    dataRoots: ['/f'],
    allowRemote: true,
  });
  assert.deepEqual(config.parse({ argv: [], env: { ...env, DROPSTREAM_CONFIG: file } }).port, 2);
  assert.deepEqual(config.parse({ argv: ['--config', file], env: {} }), { port: 3, store: 'file', dataRoots: ['/f'], allowRemote: true });
  assert.deepEqual(config.parse({ argv: ['--store', 's'], env: {} }), { port: 7011, store: 's', dataRoots: [], allowRemote: false });
  assert.equal(
    config.parse({ argv: ['--store', 's'], env: { DROPSTREAM_PORT: '5', DROPSTREAM_DATA_PORT: '' } }).port,
    5,
    'empty counts as absent',
  );
});

test('flags may be written in every usual way', () => {
  const parse = (...argv: string[]) => config.parse({ argv: ['--store=s', ...argv], env: {} });
  assert.deepEqual(parse('--data-roots', '/a', '--data_roots=/b,/c').dataRoots, ['/a', '/b', '/c']);
  assert.equal(parse('--allow-remote').allowRemote, true);
  assert.equal(parse('--allow-remote', '--no-allow-remote').allowRemote, false);
  assert.equal(parse('--allow-remote=no').allowRemote, false);
  assert.equal(parse('--port=9').port, 9);
});

test('all errors are reported at once with the sources of the values', async () => {
  const bad = join(folder, 'bad.json');
  await writeFile(bad, JSON.stringify({ port: 'x', colour: 1 }));
  assert.deepEqual(
    fieldsOf(() => config.parse({ argv: ['--nonsense', 'word', '--config', bad], env: { DROPSTREAM_DATA_ALLOW_REMOTE: 'maybe' } })),
    ['--nonsense', 'arguments', `colour in ${bad}`, 'port in the configuration file', '--store', 'DROPSTREAM_DATA_ALLOW_REMOTE'],
  );
  assert.deepEqual(
    fieldsOf(() => config.parse({ argv: ['--store'], env: {} })),
    ['--store', '--store'],
  );
  assert.deepEqual(
    fieldsOf(() => config.parse({ argv: ['--config', join(folder, 'none.json')], env: {} })),
    ['--config'],
  );
  assert.deepEqual(
    fieldsOf(() => config.parse({ argv: ['--store', 's', '--port', '65536'], env: {} })),
    ['--port'],
  );
});

test('help shows every option with its default and variable', () => {
  const help = config.help();
  assert.match(help, /--port VALUE +gRPC port \(default 7011\) \[DROPSTREAM_DATA_PORT\]/);
  assert.match(help, /--store VALUE +where things are kept \(required\)/);
  assert.match(help, /--allow-remote +serve others/);
  assert.match(help, /--config FILE/);
});

function readTls(config: TlsPaths): ServerTls | undefined {
  const paths = serverPaths(config);
  return paths && serverTlsOf(paths, readContents(paths), Date.now()).tls;
}

test('half a TLS pair and unreadable files are refused', () => {
  const none = { tlsCert: '', tlsKey: '', tlsClientCa: '' };
  assert.equal(readTls(none), undefined);
  assert.deepEqual(
    fieldsOf(() => readTls({ ...none, tlsCert: 'a' })),
    ['--tls-key'],
  );
  assert.deepEqual(
    fieldsOf(() => readTls({ ...none, tlsClientCa: 'a' })),
    ['--tls-cert'],
  );
  assert.deepEqual(
    fieldsOf(() => readTls({ ...none, tlsCert: join(folder, 'no'), tlsKey: join(folder, 'no') })),
    ['--tls-cert'],
  );
  assert.equal(defineConfig('x', serviceOptions({ port: 7 })).parse({ argv: [], env: {} }).adminPort, 1007);
});

test('a configuration file or a certificate that is no small file is refused with what it is', async () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const huge = join(folder, 'huge.json');
  await writeFile(huge, `{"store":"${'x'.repeat(1 << 20)}"}`);
  const cases: readonly (readonly [string, RegExp])[] = [
    ['/dev/zero', /it is a device/],
    [pipe, /it is a named pipe/],
    [folder, /it is a folder/],
    [huge, /at most 1048576 are read/],
    [join(folder, 'none'), /ENOENT/],
  ];
  for (const [path, reason] of cases) {
    const refused = (error: unknown) => error instanceof InvalidArgument && reason.test(error.violations[0]?.allowed ?? '');
    assert.throws(() => config.parse({ argv: ['--store', 's', '--config', path], env: {} }), refused, path);
    assert.throws(() => config.parse({ argv: ['--store', 's'], env: { DROPSTREAM_CONFIG: path } }), refused, path);
    assert.throws(() => readTls({ tlsCert: path, tlsKey: path, tlsClientCa: '' }), refused, path);
  }
  const large = join(folder, 'large.json');
  await writeFile(large, JSON.stringify({ store: 'x'.repeat(1 << 19) }));
  assert.equal(config.parse({ argv: ['--config', large], env: {} }).store.length, 1 << 19);
});

test('an address of another service is checked where it is given', () => {
  const other = defineConfig('trainer', { data: { schema: z.array(serviceAddress(7011)).default([]), help: 'data replicas', list: true } });
  const allowed = (...argv: string[]) => {
    try {
      other.parse({ argv, env: {} });
      return '';
    } catch (error) {
      assert.ok(error instanceof InvalidArgument);
      return error.violations.map((v) => `${v.field}: ${v.allowed}`).join();
    }
  };
  assert.equal(allowed('--data', 'data:7011', '--data', '[::1]:7', '--data', 'dns:///data:7011'), '');
  assert.match(allowed('--data', 'http://data:7011'), /--data: data replicas \(host:port without http:\/\/, for example data:7011\)/);
  assert.match(allowed('--data', 'data'), /the port is missing, for example data:7011/);
  assert.match(allowed('--data', '::1'), /in brackets/);
});
