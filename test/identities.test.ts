/** Real services with identities: who may do what, how access ends, what is written down, and that tokens appear nowhere. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readIdentityFile } from '#auth/identity-file.js';
import { Client } from '#client/client.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect, InvalidArgument, NotFound, PermissionDenied, Unauthenticated } from '#rpc/client.js';
import { createLogger, silentLogger } from '#telemetry/logger.js';
import { main } from '../services/cli/main.js';
import { dataConfig } from '../services/data/config.js';
import { start as startData } from '../services/data/main.js';
import { schedulerConfig } from '../services/scheduler/config.js';
import { start as startScheduler } from '../services/scheduler/main.js';
import { earlyDropout as spec } from './support/early-dropout.js';
import { noOpenssl } from './support/openssl.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-identities-'));
after(() => rmSync(folder, { recursive: true }));
const identities = join(folder, 'identities.json');
const timeout = 60_000;

/** Everything that was printed and logged; searched for secrets at the end. */
const printed: string[] = [];
const secrets: string[] = [];

/** Runs a command line. @returns its exit code and what it printed */
async function cli(argv: string[], env: Record<string, string> = {}): Promise<{ code: number; out: string; err: string }> {
  const [out, err]: [string[], string[]] = [[], []];
  const terminal = {
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    status: () => {},
    interactive: false,
    color: false,
    columns: 80,
  };
  const code = await main(argv, { terminal, env, cwd: folder, signal: new AbortController().signal });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

/** What `token create` prints is the one place where a token may be. */
async function newToken(principal: string, ...options: string[]): Promise<string> {
  const { code, out, err } = await cli(['token', 'create', principal, '--identities', identities, ...options]);
  assert.equal(code, 0, err);
  assert.match(out, /^dst_[0-9a-f]{12}_[\w-]{43}$/);
  printed.push(err);
  secrets.push(out);
  return out;
}

const idOf = (token: string): string => token.split('_')[1]!;

async function command(argv: string[], env: Record<string, string> = {}) {
  const result = await cli(argv, env);
  printed.push(result.out, result.err);
  return result;
}

async function scheduler(...argv: string[]) {
  const logger = createLogger({ service: 'scheduler', level: 'trace', destination: { write: (line) => void printed.push(line) } });
  const options = ['--port', '0', '--admin-port', '0', '--store', join(folder, 'store'), '--watch-poll-ms', '50', ...argv];
  const running = await startScheduler(schedulerConfig.parse({ argv: options }), { logger, processMetrics: false });
  after(() => running.close());
  return { running, address: `127.0.0.1:${running.port}` };
}

function clientOf(address: string, token?: string) {
  const client = connect(SchedulerServiceClient, address, { retry: { attempts: 1 }, ...(token === undefined ? {} : { token }) });
  after(() => client.close());
  return client;
}

const soon = { timeoutMs: 20_000 };

test('a service with identities, from the command that makes a token to the one that revokes it', { timeout }, async () => {
  const operator = await newToken('olga', '--role', 'operator', '--project', '*');
  const viewer = await newToken('victor', '--role', 'viewer', '--project', 'default');
  const second = await newToken('victor', '--days', '0');
  assert.equal(statSync(identities).mode & 0o777, 0o600);
  for (const token of [operator, viewer, second]) assert.ok(!readFileSync(identities, 'utf8').includes(token), 'only the hash is kept');

  const { address } = await scheduler('--identities', identities);
  const [asOperator, asViewer, asNobody] = [clientOf(address, operator), clientOf(address, viewer), clientOf(address)];
  const request = { parent: 'projects/default', scheduleId: 'early', spec };
  await assert.rejects(asNobody.createSchedule(request, soon), Unauthenticated);
  await assert.rejects(
    asViewer.createSchedule(request, soon),
    (error) => error instanceof PermissionDenied && /victor/.test(error.message),
  );
  await asOperator.createSchedule(request, soon);
  assert.equal((await asViewer.getSchedule({ name: 'projects/default/schedules/early' }, soon)).schedule?.revision, 1n);
  await assert.rejects(asViewer.getSchedule({ name: 'projects/other/schedules/early' }, soon), PermissionDenied);

  // The command line, with the token in the environment, in a file, and without one.
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, `${second}\n`, { mode: 0o600 });
  const get = ['schedule', 'get', 'early', '--scheduler', address];
  assert.equal((await command(get, { DROPSTREAM_TOKEN: viewer })).code, 0);
  assert.equal((await command([...get, '--token-file', tokenFile])).code, 0);
  assert.equal((await command(get, { DROPSTREAM_TOKEN_FILE: tokenFile })).code, 0);
  const without = await command(get);
  assert.deepEqual(
    [without.code, without.err],
    [6, 'error: the caller is not known: the call has no token, and no certificate with a URI'],
  );
  assert.equal((await command(['schedule', 'delete', 'early', '--scheduler', address], { DROPSTREAM_TOKEN: viewer })).code, 6);
  const health = await command(['doctor', '--scheduler', address, '--json']);
  assert.match(health.out, /"name": "scheduler",\s*"outcome": "ok"/, 'probes need no token');

  // A stream ends when its token is revoked; other tokens of the principal go on.
  const watch = asViewer.watchSchedule({ name: 'projects/default/schedules/early' }, soon)[Symbol.asyncIterator]();
  assert.equal((await watch.next()).value.schedule.revision, 1n);
  const ended = assert.rejects(
    async () => await watch.next(),
    (error) => error instanceof Unauthenticated && error.why === 'its credential was revoked',
  );
  assert.equal((await command(['token', 'revoke', idOf(viewer), '--identities', identities])).code, 0);
  await ended;
  await assert.rejects(asViewer.getSchedule({ name: 'projects/default/schedules/early' }, soon), Unauthenticated);
  assert.equal((await command([...get, '--token-file', tokenFile])).code, 0);
  const listed = await command(['token', 'list'], { DROPSTREAM_IDENTITIES: identities });
  assert.match(listed.out, new RegExp(`${idOf(second)} +victor +viewer in default +\\S+ +never`));
  assert.doesNotMatch(listed.out, new RegExp(idOf(viewer)));

  const calls = printed.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>);
  const call = (principal: string | undefined, code: string) =>
    calls.some((line) => line.msg === 'call' && line.principal === principal && line.code === code);
  assert.ok(call('olga', 'OK') && call('victor', 'PERMISSION_DENIED') && call(undefined, 'UNAUTHENTICATED'));
});

test('a token is not sent in plain text to another machine', async () => {
  const token = await newToken('tess', '--role', 'viewer');
  for (const address of ['192.0.2.1:7012', 'scheduler.example:7012', 'dns:///scheduler:7012', '127.0.0.1:1,192.0.2.1:1'])
    assert.throws(
      () => connect(SchedulerServiceClient, address, { token }),
      (error) => error instanceof InvalidArgument && /not sent in plain text/.test(error.message),
    );
  connect(SchedulerServiceClient, '192.0.2.1:7012', { token, tls: {} }).close();
  connect(SchedulerServiceClient, 'localhost:7012', { token }).close();
  const refused = await command(['schedule', 'list', '--scheduler', '192.0.2.1:7012'], { DROPSTREAM_TOKEN: token });
  assert.equal(refused.code, 2);
  assert.match(refused.err, /not sent in plain text/);
});

test('commands that cannot be right are refused, and change nothing', async () => {
  const before = readFileSync(identities, 'utf8');
  const refused: [string[], RegExp][] = [
    [['create', 'New One', '--role', 'viewer'], /principal is "New One"/],
    [['create', 'nina'], /nina has no role yet/],
    [['create', 'nina', '--role', 'viewer', '--project', 'No'], /--project is "No"/],
    [['create', 'nina', '--role', 'viewer', '--days', '1.5'], /--days is "1.5"/],
    [['create', 'nina', '--role', 'admin'], /Allowed choices/],
    [['revoke', '000000000000'], /token 000000000000 does not exist/],
  ];
  for (const [argv, message] of refused) {
    const { code, err } = await command(['token', ...argv, '--identities', identities]);
    assert.notEqual(code, 0);
    assert.match(err, message);
  }
  assert.equal(readFileSync(identities, 'utf8'), before);
  const none = await command(['token', 'revoke', '000000000000', '--identities', join(folder, 'none.json')]);
  assert.equal(none.code, 2);
  assert.ok(readdirSync(folder).every((name) => !/none|\.new$/.test(name)));
});

test('a service that other machines reach refuses to start without identities, unless told otherwise', { timeout }, async () => {
  const remote = ['--host', '0.0.0.0', '--allow-remote'];
  await assert.rejects(
    scheduler(...remote),
    (error) =>
      error instanceof InvalidArgument &&
      error.message ===
        'host is "0.0.0.0", must be a loopback address (127.0.0.1, ::1, localhost), or given together with --identities, --tls-client-ca or --allow-anonymous, because everybody who reaches it could use the service',
  );
  await assert.rejects(scheduler(...remote, '--identities', join(folder, 'none.json')), InvalidArgument);
  await assert.rejects(
    scheduler(...remote, '--identities', identities, '--allow-anonymous'),
    /allow-anonymous is "true", must be left out/,
  );
  for (const admitted of [['--allow-anonymous'], ['--identities', identities]]) {
    const { running } = await scheduler(...remote, ...admitted);
    await running.close();
  }
});

test('through TLS, the command line and clients show their token, also to replicas behind a name', {
  timeout,
  skip: noOpenssl,
}, async () => {
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2', '-nodes'];
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', key, '-out', certificate, ...subject];
  execFileSync('openssl', made, { stdio: 'ignore' });
  const token = await newToken('tina', '--role', 'submitter', '--project', '*');
  const tls = ['--tls-cert', certificate, '--tls-key', key, '--identities', identities];
  const { running } = await scheduler(...tls);
  const list = ['schedule', 'list', '--scheduler', `localhost:${running.port}`];
  const env = { DROPSTREAM_TLS_CA: certificate, DROPSTREAM_TOKEN: token };
  assert.equal((await command(list, env)).code, 0);
  assert.equal((await command(list, { DROPSTREAM_TLS_CA: certificate })).code, 6);
  assert.match(
    (await command(['doctor', '--scheduler', `localhost:${running.port}`, '--json'], env)).out,
    /"name": "scheduler",\s*"outcome": "ok"/,
  );

  const options = ['--port', '0', '--admin-port', '0', '--store', join(folder, 'store'), '--root', folder, ...tls];
  const data = await startData(dataConfig.parse({ argv: options }), { logger: silentLogger(), processMetrics: false });
  after(() => data.close());
  const client = new Client({ data: `dns:///localhost:${data.port}`, connect: { tls: { authority: readFileSync(certificate) }, token } });
  after(() => client.close());
  await assert.rejects(client.describe('a'.repeat(64)), NotFound);
});

test('no secret was printed, logged or stored', () => {
  assert.ok(secrets.length >= 4 && printed.length > 20);
  const hashes = Object.values(readIdentityFile(identities).principals).flatMap(({ tokens }) => tokens.map(({ sha256 }) => sha256));
  const random = secrets.map((token) => token.slice(-43));
  for (const line of printed) for (const secret of [...random, ...hashes]) assert.ok(!line.includes(secret), line);
});
