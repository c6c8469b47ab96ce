/** The audit of a real service: what its callers change and what they are refused, and what is seen when it cannot be written. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createToken } from '#auth/tokens.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect, InvalidArgument } from '#rpc/client.js';
import { silentLogger } from '#telemetry/logger.js';
import { schedulerConfig } from '../services/scheduler/config.js';
import { start } from '../services/scheduler/main.js';
import { earlyDropout as spec } from './support/early-dropout.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-audits-'));
after(() => rmSync(folder, { recursive: true }));
const soon = { timeoutMs: 20_000 };

async function scheduler(...argv: string[]) {
  const options = ['--port', '0', '--admin-port', '0', '--store', join(folder, 'store'), ...argv];
  const running = await start(schedulerConfig.parse({ argv: options }), { logger: silentLogger(), processMetrics: false });
  after(() => running.close());
  return running;
}

test('every change and every refusal is written down once, and nothing else', { timeout: 60_000 }, async () => {
  const [alice, victor] = [createToken(), createToken()];
  const created = '2026-01-01T00:00:00Z';
  const principalOf = (role: string, { id, sha256 }: typeof alice) => ({
    roles: { vision: role },
    uris: [],
    tokens: [{ id, sha256, created }],
  });
  const identities = join(folder, 'identities.json');
  writeFileSync(
    identities,
    JSON.stringify({ version: 1, principals: { alice: principalOf('operator', alice), victor: principalOf('viewer', victor) } }),
  );
  const path = join(folder, 'audit.log');
  const running = await scheduler('--identities', identities, '--audit-log', path);
  const clientOf = (token?: string) => {
    const client = connect(SchedulerServiceClient, `127.0.0.1:${running.port}`, {
      retry: { attempts: 1 },
      ...(token === undefined ? {} : { token }),
    });
    after(() => client.close());
    return client;
  };
  const [asAlice, asVictor, asNobody] = [clientOf(alice.text), clientOf(victor.text), clientOf()];
  const name = 'projects/vision/schedules/early';
  const request = { parent: 'projects/vision', scheduleId: 'early', spec, requestId: 'once-1' };
  await asAlice.createSchedule(request, soon);
  await asAlice.getSchedule({ name }, soon);
  await asVictor.getSchedule({ name }, soon);
  await assert.rejects(asAlice.createSchedule({ ...request, requestId: 'not one\n' }, soon));
  await assert.rejects(asVictor.deleteSchedule({ name }, soon));
  await assert.rejects(asVictor.getSchedule({ name: 'projects/audio/schedules/early' }, soon));
  await assert.rejects(asNobody.getSchedule({ name }, soon));
  await asAlice.deleteSchedule({ name }, soon);
  await running.close();

  const text = readFileSync(path, 'utf8');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);
  const service = 'dropstream.v1.SchedulerService/';
  assert.deepEqual(
    lines.map(({ principal, credential, rpc, resource, code, request_id }) => [
      principal,
      credential,
      rpc?.replace(service, ''),
      resource,
      code,
      request_id,
    ]),
    [
      ['alice', `token ${alice.id}`, 'CreateSchedule', name, 'OK', 'once-1'],
      ['alice', `token ${alice.id}`, 'CreateSchedule', name, 'INVALID_ARGUMENT', undefined],
      ['victor', `token ${victor.id}`, 'DeleteSchedule', undefined, 'PERMISSION_DENIED', undefined],
      ['victor', `token ${victor.id}`, 'GetSchedule', 'projects/audio/schedules/early', 'PERMISSION_DENIED', undefined],
      [undefined, 'none', 'GetSchedule', undefined, 'UNAUTHENTICATED', undefined],
      ['alice', `token ${alice.id}`, 'DeleteSchedule', name, 'OK', undefined],
    ],
  );
  for (const { peer, time, code, trace_id } of lines) {
    assert.match(peer ?? '', /^127\.0\.0\.1:\d+$/);
    assert.ok(time && (trace_id || code === 'UNAUTHENTICATED' || code === 'PERMISSION_DENIED'));
  }
  for (const { text: token, sha256 } of [alice, victor]) assert.ok(!text.includes(token.slice(-43)) && !text.includes(sha256));
});

test('without identities, changes are written down with the address; metrics say whether they are', { timeout: 60_000 }, async () => {
  const path = join(folder, 'anonymous.log');
  const running = await scheduler('--audit-log', path);
  const client = connect(SchedulerServiceClient, `127.0.0.1:${running.port}`, { retry: { attempts: 1 } });
  after(() => client.close());
  await client.createSchedule({ parent: 'projects/vision', scheduleId: 'late', spec }, soon);
  const page = async () => await (await fetch(`http://127.0.0.1:${running.adminPort}/metrics`)).text();
  assert.match(await page(), /^dropstream_audit_failing 0$/m);
  await running.close();
  const line = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
  assert.deepEqual(
    [line.principal, line.credential, line.resource, line.code],
    [undefined, 'none', 'projects/vision/schedules/late', 'OK'],
  );
  await assert.rejects(
    scheduler('--audit-log', join(folder, 'none', 'audit.log')),
    (error) => error instanceof InvalidArgument && /--audit-log is .* a file that can be written/.test(error.message),
  );
});
