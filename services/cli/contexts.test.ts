import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createToken } from '#auth/tokens.js';
import { silentLogger } from '#telemetry/logger.js';
import { makeAuthority } from '../../test/support/certificates.js';
import { noOpenssl } from '../../test/support/openssl.js';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { schedulerConfig } from '../scheduler/config.js';
import { start as startScheduler } from '../scheduler/main.js';
import { makePrivateFolder } from './private-folder.js';

function place(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-contexts-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'config', 'dropstream', 'contexts.json');
  const env = { XDG_CONFIG_HOME: join(folder, 'config'), DROPSTREAM_HOME: join(folder, 'nobody') };
  const run = (argv: string[], more: Record<string, string> = {}) => runCommandLine(argv, { cwd: folder, env: { ...env, ...more } });
  const runs = async (argv: string[], more: Record<string, string> = {}) => {
    const ended = await run(argv, more);
    assert.equal(ended.code, 0, ended.err);
    return ended;
  };
  const refused = async (argv: string[], code: number, why: RegExp, more: Record<string, string> = {}): Promise<void> => {
    const ended = await run(argv, more);
    assert.match(ended.err, why);
    assert.equal(ended.code, code, ended.err);
  };
  return { folder, path, runs, refused };
}

test('contexts are created, listed, chosen and deleted, in a file that only its owner may read', async (t) => {
  const { path, runs, refused } = place(t);
  assert.match((await runs(['context', 'list'])).err, /no contexts/);
  await runs(['context', 'create', 'lab', '--scheduler', '127.0.0.1:1', '--trainer', '127.0.0.1:2,127.0.0.1:3']);
  await runs(['context', 'create', 'cluster', '--data', 'dns:///data:7011', '--use']);
  assert.deepEqual([statSync(path).mode & 0o777, statSync(join(path, '..')).mode & 0o777], [0o600, 0o700]);
  const { out } = await runs(['context', 'list']);
  assert.match(out, /^CONTEXT +DATA +SCHEDULER +TRAINER +EVALUATOR +TLS +TOKEN FILE\nlab +- +127\.0\.0\.1:1 +127.*\ncluster \* +dns/);
  const listed = JSON.parse((await runs(['context', 'list', '--json'])).out) as { name: string; current: boolean }[];
  assert.deepEqual(
    listed.map(({ name, current }) => [name, current]),
    [
      ['lab', false],
      ['cluster', true],
    ],
  );
  await refused(['context', 'create', 'lab', '--data', 'a:1'], 5, /context lab already exists: delete it first/);
  await refused(['context', 'use', 'other'], 4, /context other does not exist: see `dropstream context list`/);
  await refused(['context', 'delete', 'constructor'], 4, /context constructor does not exist/);
  await refused(['context', 'create', 'Lab', '--data', 'a:1'], 2, /name is "Lab", must be 1 to 63 characters/);
  await refused(['context', 'create', 'x'], 2, /with an address/);
  await refused(['context', 'create', 'x', '--data', 'http://a:1'], 2, /--data is "http:\/\/a:1"/);
  await refused(['context', 'create', 'x', '--data', 'a:1', '--tls-cert', 'c'], 2, /--tls-key/);
  await refused(['context', 'create', 'x', '--data', 'a:1', '--token-file', 'none'], 2, /--token-file .*ENOENT/);
  await runs(['context', 'use']);
  assert.doesNotMatch((await runs(['context', 'list'])).out, /\*/);
  await runs(['context', 'use', 'lab']);
  await runs(['context', 'delete', 'lab']);
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { version: 1, contexts: { cluster: { data: 'dns:///data:7011' } } });
});

test('a command finds its services by flag, environment, context, and what shows who calls goes nowhere else', {
  skip: noOpenssl,
}, async (t) => {
  const { folder, path, runs, refused } = place(t);
  const authority = makeAuthority(t, 'one');
  const [server, own] = [authority.issue('server'), authority.issue('own')];
  const { id, sha256, text } = createToken();
  const at = (name: string, content: Buffer | string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  const principals = { ann: { roles: { '*': 'viewer' }, tokens: [{ id, sha256, created: '2026-01-01T00:00:00Z' }] } };
  at('ca.pem', authority.certificate);
  at('own.pem', own.certificate);
  at('own.key', own.key);
  at('token', `${text}\n`);
  const tls = [
    '--tls-cert',
    at('server.pem', server.certificate),
    '--tls-key',
    at('server.key', server.key),
    '--tls-client-ca',
    join(folder, 'ca.pem'),
  ];
  const start = async (...argv: string[]) => {
    const free = ['--port', '0', '--admin-port', '0', '--store', join(folder, 'store')];
    const running = await startScheduler(schedulerConfig.parse({ argv: [...free, ...argv], env: {} }), {
      logger: silentLogger(),
      processMetrics: false,
    });
    t.after(() => running.close());
    return `127.0.0.1:${running.port}`;
  };
  const secure = await start(...tls, '--identities', at('identities.json', JSON.stringify({ version: 1, principals })));
  const plain = await start();
  const shows = ['--tls-ca', 'ca.pem', '--tls-cert', 'own.pem', '--tls-key', 'own.key', '--token-file', 'token'];
  await runs(['context', 'create', 'secure', '--scheduler', secure, ...shows]);
  await runs(['context', 'create', 'plain', '--scheduler', plain]);
  assert.ok(!readFileSync(path, 'utf8').includes(text));
  const list = ['schedule', 'list', '--timeout', '5'];
  await refused(list, 3, /choose a context/);
  await runs(['--context', 'secure', ...list]);
  await runs([...list, '--context', 'secure']);
  await runs(list, { DROPSTREAM_CONTEXT: 'secure' });
  await runs(['context', 'use', 'secure']);
  await runs(list);
  // A flag comes before the environment, that before the context; an address that is not of the context is called without its TLS and token.
  await runs([...list, '--scheduler', plain]);
  await runs(list, { DROPSTREAM_SCHEDULER: plain });
  await runs([...list, '--context', 'plain']);
  await runs(list, { DROPSTREAM_CONTEXT: 'plain' });
  await runs([...list, '--context', 'secure'], { DROPSTREAM_CONTEXT: 'plain' });
  await refused(list, 6, /its token is not valid/, { DROPSTREAM_TOKEN: createToken().text });
  await refused([...list, '--context', 'other'], 4, /context other does not exist/);
});

test('the folder of `up` is closed to others, also one that an earlier version made', (t) => {
  const { folder } = place(t);
  const modeOf = (path: string): number => statSync(path).mode & 0o777;
  const [home, chosen] = [join(folder, '.dropstream'), join(folder, 'chosen')];
  for (const path of [home, chosen]) {
    mkdirSync(path);
    chmodSync(path, 0o755);
    makePrivateFolder(path);
  }
  assert.deepEqual([home, chosen].map(modeOf), [0o700, 0o755], 'a folder that a user has chosen stays as it is');
  makePrivateFolder(join(folder, 'new', '.dropstream'));
  assert.deepEqual(
    ['new', 'new/.dropstream'].map((name) => modeOf(join(folder, name))),
    [0o700, 0o700],
  );
});
