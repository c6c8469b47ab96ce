// The scheduler as other programs meet it: over a real MinIO, through grpcurl, scraped by promtool.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Aborted, Unavailable } from '#errors/errors.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { HealthCheckResponse_ServingStatus, HealthClient } from '#protocol/grpc/health/v1/health.js';
import { connect } from '#rpc/client.js';
import { silentLogger } from '#telemetry/logger.js';
import { startMinio } from '../../test/support/minio.js';
import { findTool } from '../../test/support/tool.js';
import { schedulerConfig } from './config.js';
import { start } from './main.js';

const configOf = (store: string) =>
  schedulerConfig.parse({
    argv: ['--port', '0', '--admin-port', '0', '--watch-poll-ms', '50', '--health-probe-ms', '50', '--store', store],
  });
const spec = { kind: 1, rate: 0.1, mode: 2, schedule: 2, cutoffEpoch: 5 };
const t10 = { timeoutMs: 10_000 };

test('over MinIO: one winner per etag, watches across replicas, UNAVAILABLE without the store', async (t) => {
  const minio = await startMinio();
  if ('skip' in minio) return t.skip(minio.skip);
  t.after(() => minio.stop());
  Object.assign(process.env, minio.env);
  const uri = await minio.createBucket('schedules', 'somewhere');
  const clients = [];
  let address = '';
  for (let i = 0; i < 2; i++) {
    const replica = await start(configOf(uri), { logger: silentLogger(), processMetrics: false });
    t.after(() => replica.close());
    address = `127.0.0.1:${replica.port}`;
    const client = connect(SchedulerServiceClient, address, { retry: { attempts: 1 } });
    t.after(() => client.close());
    clients.push(client);
  }
  const [a, b] = clients as [(typeof clients)[number], (typeof clients)[number]];
  const { schedule } = await a.createSchedule({ parent: 'projects/p', scheduleId: 's', spec }, t10);
  const { name, etag } = schedule!;
  const watch = b.watchSchedule({ name, afterRevision: 1n }, t10)[Symbol.asyncIterator]();
  const next = watch.next();
  const outcomes = await Promise.allSettled(
    [a, b, a, b].map((c, i) => c.updateSchedule({ name, spec: { ...spec, rate: i / 10 }, etag }, t10)),
  );
  assert.equal(outcomes.filter((o) => o.status === 'fulfilled').length, 1);
  for (const o of outcomes) if (o.status === 'rejected') assert.ok(o.reason instanceof Aborted, String(o.reason));
  assert.equal((await next).value.schedule!.revision, 2n);
  await watch.return!();

  const health = connect(HealthClient, address);
  t.after(() => health.close());
  const statuses: HealthCheckResponse_ServingStatus[] = [];
  const turned = (async () => {
    for await (const { status } of health.watch({ service: 'dropstream.v1.SchedulerService' }, { timeoutMs: 60_000 })) {
      statuses.push(status);
      if (statuses.length === 2) return;
    }
  })();
  await minio.stop();
  await assert.rejects(
    b.getSchedule({ name: 'projects/p/schedules/other' }, { timeoutMs: 60_000 }),
    (e) => e instanceof Unavailable && e.retryAfterMs > 0,
  );
  await turned;
  assert.deepEqual(statuses, [HealthCheckResponse_ServingStatus.SERVING, HealthCheckResponse_ServingStatus.NOT_SERVING]);
});

test('grpcurl lists and calls it by reflection alone', async (t) => {
  const grpcurl = await findTool('grpcurl');
  if ('skip' in grpcurl) return t.skip(grpcurl.skip);
  const server = await inFolder(t);
  const call = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)(grpcurl.path, ['-plaintext', ...args], { timeout: 20_000 })).stdout;
  const address = `127.0.0.1:${server.port}`;
  assert.match(await call(address, 'list'), /^dropstream\.v1\.SchedulerService$/m);
  assert.match(await call(address, 'describe', 'dropstream.v1.SchedulerService.GetRates'), /GetRatesRequest/);
  assert.match(await call(address, 'grpc.health.v1.Health/Check'), /"SERVING"/);
  const request = JSON.stringify({
    spec: { rate: 0.5, mode: 'DROP_MODE_EARLY', schedule: 'DROP_SCHEDULE_LINEAR', cutoff_epoch: 1 },
    length: { epochs: 2, steps_per_epoch: 3 },
    steps: [0, 1, 2, 3],
  });
  const { rates } = JSON.parse(await call('-d', request, address, 'dropstream.v1.SchedulerService/GetRates')) as {
    rates: { rate?: number }[];
  };
  assert.deepEqual(
    rates.map((r) => r.rate ?? 0),
    [0.5, 0.25, 0, 0],
  );
  await assert.rejects(
    call(
      '-d',
      '{"spec":{"rate":2},"length":{"epochs":1,"steps_per_epoch":1},"steps":[0]}',
      address,
      'dropstream.v1.SchedulerService/GetRates',
    ),
    /InvalidArgument[\s\S]*spec\.rate/,
  );
});

test('promtool accepts /metrics', async (t) => {
  const promtool = await findTool('promtool');
  if ('skip' in promtool) return t.skip(promtool.skip);
  const server = await inFolder(t);
  const page = await (await fetch(`http://127.0.0.1:${server.adminPort}/metrics`)).text();
  const check = spawn(promtool.path, ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [check.stdout, check.stderr])
    stream.on('data', (chunk) => {
      said += String(chunk);
    });
  check.stdin.end(page);
  const code = await new Promise((resolve) => check.once('close', resolve));
  assert.equal(code, 0, said);
});

async function inFolder(t: { after(f: () => unknown): void }) {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-scheduler-'));
  const server = await start(configOf(folder), { logger: silentLogger() });
  t.after(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });
  return server;
}
