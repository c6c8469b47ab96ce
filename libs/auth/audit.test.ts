import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '../../test/support/until.js';
import { Audit, type AuditedCall, credentialKind, isAudited } from './audit.js';
import { AuditSink } from './audit-sink.js';
import { mutations, policy } from './policy.js';
import { createToken } from './tokens.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-audit-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = (): string => join(folder, `${++files}.log`);

const call = (more: Partial<AuditedCall> = {}): AuditedCall => ({
  principal: 'alice',
  credential: 'jwt',
  peer: '192.0.2.1:1234',
  rpc: 'dropstream.v1.TrainerService/CreateRun',
  resource: 'projects/vision/runs/first',
  code: 'OK',
  requestId: 'r-1',
  traceId: 't',
  ...more,
});
const parsed = (lines: readonly string[]) => lines.map((line) => JSON.parse(line) as Record<string, unknown>);

test('what is written down is every method that changes something, and every refusal', () => {
  for (const method of policy.keys()) {
    assert.equal(mutations.has(method), /\/(Create|Update|Delete|Cancel|Pause|Resume)/.test(method), method);
    for (const code of ['OK', 'NOT_FOUND', 'UNAUTHENTICATED', 'PERMISSION_DENIED'])
      assert.equal(isAudited(method, code), mutations.has(method) || code === 'UNAUTHENTICATED' || code === 'PERMISSION_DENIED');
  }
  assert.equal(isAudited('unknown.Service/Method', 'PERMISSION_DENIED'), true);
});

test('a line has what is known of the call', () => {
  const lines: string[] = [];
  const audit = new Audit((line) => lines.push(line));
  audit.call(call());
  audit.call(call({ principal: undefined, credential: 'none', resource: undefined, code: 'UNAUTHENTICATED', requestId: undefined }));
  audit.close();
  const [first, second] = parsed(lines);
  const { time, ...rest } = first!;
  assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
  const { requestId, traceId, ...named } = call();
  assert.deepEqual(rest, { ...named, request_id: requestId, trace_id: traceId });
  assert.deepEqual(Object.keys(second!), ['time', 'credential', 'peer', 'rpc', 'code', 'trace_id']);
});

test('a credential is named by its kind, and one of our tokens by its id', () => {
  const { id, text } = createToken();
  const never = () => assert.fail('a certificate counts only where nothing else is shown');
  assert.equal(credentialKind([`Bearer ${text}`], never), `token ${id}`);
  assert.equal(credentialKind(['bearer eyJhbGciOiJub25lIn0.e30.'], never), 'jwt');
  for (const other of ['Basic bWU6aGlkZGVu', 'Bearer hidden', '', `Basic ${text}`]) assert.equal(credentialKind([other], never), 'other');
  assert.equal(
    credentialKind([], () => true),
    'certificate',
  );
  assert.equal(
    credentialKind([], () => false),
    'none',
  );
});

test('a flood of refusals is counted by caller and method; changes are not', async () => {
  const lines: string[] = [];
  const audit = new Audit((line) => lines.push(line));
  const denied = { code: 'PERMISSION_DENIED' };
  for (let i = 0; i < 100; i++) {
    audit.call(call(denied));
    audit.call(call({ ...denied, principal: 'bob' }));
    audit.call(call({ principal: undefined, credential: `token ${i}`, code: 'UNAUTHENTICATED' }));
    audit.call(call());
  }
  const count = (who: string | undefined, code: string) =>
    parsed(lines).filter((line) => line.principal === who && line.code === code && line.more === undefined).length;
  assert.deepEqual(
    [count('alice', 'PERMISSION_DENIED'), count('bob', 'PERMISSION_DENIED'), count(undefined, 'UNAUTHENTICATED'), count('alice', 'OK')],
    [10, 10, 10, 100],
  );
  const more = () => parsed(lines).filter((line) => line.more !== undefined);
  await until('the second ends', () => more().length === 3);
  assert.deepEqual(
    more().map(({ principal, credential, code, more }) => [principal, credential, code, more]),
    [
      ['alice', 'jwt', 'PERMISSION_DENIED', 90],
      ['bob', 'jwt', 'PERMISSION_DENIED', 90],
      [undefined, 'token', 'UNAUTHENTICATED', 90],
    ],
  );
  // Many callers cost a bounded number of lines, too.
  lines.length = 0;
  for (let i = 0; i < 5000; i++) audit.call(call({ ...denied, principal: `p${i}` }));
  audit.close();
  assert.equal(lines.length, 1000 + 10 + 1);
  assert.deepEqual([more()[0]?.rpc, more()[0]?.more], ['*', 3990]);
});

const options = { maxBytes: 1 << 20, files: 3, retryMs: 10, onFault: () => {} };

test('lines follow each other in the file, which only its owner reads, also after a crash', async () => {
  const target = newPath();
  writeFileSync(target, '{"cut');
  for (const round of ['a', 'b']) {
    const sink = await AuditSink.open({ ...options, target });
    for (let i = 0; i < 3; i++) sink.write(`"${round}${i}"`);
    await sink.close();
    assert.deepEqual([sink.written, sink.dropped, sink.failing], [3, 0, false]);
  }
  assert.equal(readFileSync(target, 'utf8'), '{"cut\n"a0"\n"a1"\n"a2"\n"b0"\n"b1"\n"b2"\n');
  const fresh = newPath();
  await (await AuditSink.open({ ...options, target: fresh })).close();
  assert.equal(statSync(fresh).mode & 0o777, 0o600);
});

test('a full file is replaced, and the oldest one is deleted', async () => {
  for (const count of [3, 1]) {
    const target = newPath();
    const sink = await AuditSink.open({ ...options, files: count, target, maxBytes: 100 });
    for (let i = 0; i < 50; i++) {
      sink.write(JSON.stringify({ i, text: 'x'.repeat(20) }));
      await until('it is written', () => sink.written === i + 1, { pauseMs: 1 });
    }
    await sink.close();
    const base = target.slice(folder.length + 1);
    const names = [base, ...Array.from({ length: count - 1 }, (_, k) => `${base}.${k + 1}`)];
    assert.deepEqual(
      readdirSync(folder)
        .filter((name) => name.startsWith(base))
        .sort(),
      names,
    );
    const kept = names.reverse().flatMap((name) => parsed(readFileSync(join(folder, name), 'utf8').trimEnd().split('\n')));
    assert.deepEqual(
      kept.map(({ i }) => i),
      Array.from({ length: kept.length }, (_, k) => 50 - kept.length + k),
      'the newest lines, in order',
    );
    for (const name of names) assert.ok(statSync(join(folder, name)).size < 200);
  }
});

test('lines that cannot be written wait; what does not fit is counted, and the file says so', async () => {
  const place = join(folder, 'place');
  mkdirSync(place);
  const target = join(place, 'audit.log');
  const faults: (Error | undefined)[] = [];
  const sink = await AuditSink.open({ ...options, target, maxBytes: 1, queueBytes: 100, onFault: (fault) => faults.push(fault) });
  sink.write('"first"');
  await until('it is written', () => sink.written === 1);
  // The next line begins a new file, which the missing folder prevents.
  rmSync(place, { recursive: true });
  sink.write('"second"');
  await until('the fault is seen', () => sink.failing);
  for (let i = 0; i < 20; i++) sink.write(`"line ${10 + i}"`);
  assert.ok(sink.dropped >= 10, `${sink.dropped}`);
  mkdirSync(place);
  await until('it is written again', () => !sink.failing && sink.written === 22 - sink.dropped);
  sink.write('"last"');
  await sink.close();
  assert.deepEqual(
    faults.map((fault) => fault !== undefined),
    [true, false],
  );
  const all = readdirSync(place)
    .sort()
    .reverse()
    .flatMap((name) => parsed(readFileSync(join(place, name), 'utf8').trimEnd().split('\n')));
  const said = (all as unknown[]).filter((line): line is { dropped: number } => typeof line === 'object');
  assert.equal(
    said.reduce((sum, { dropped }) => sum + dropped, 0),
    sink.dropped,
  );
  assert.equal(all.length, sink.written - 1 + said.length, 'everything but the first line, whose file is gone');
});

test('a service that stops does not wait for a sink that cannot write', async () => {
  const place = join(folder, 'gone');
  mkdirSync(place);
  const sink = await AuditSink.open({ ...options, target: join(place, 'audit.log'), maxBytes: 1, retryMs: 600_000 });
  sink.write('"first"');
  await until('it is written', () => sink.written === 1);
  rmSync(place, { recursive: true });
  sink.write('"second"');
  await until('the fault is seen', () => sink.failing);
  await sink.close();
  await assert.rejects(AuditSink.open({ ...options, target: join(place, 'audit.log') }), /ENOENT/);
});
