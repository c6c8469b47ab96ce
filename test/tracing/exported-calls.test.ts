/** Spans of a service as a real collector has taken them. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect, type NotFound } from '#rpc/client.js';
import { type Collector, collectorTool, startCollector } from '../support/collector.js';
import { startService } from '../support/processes.js';

const tool = await collectorTool();
const skip = 'skip' in tool && tool.skip;

let collector: Collector;
let folder: string;
before(async () => {
  if ('skip' in tool) return;
  folder = await mkdtemp(join(tmpdir(), 'dropstream-tracing-'));
  collector = await startCollector(tool.path);
});
after(async () => {
  await collector?.close();
  if (folder) await rm(folder, { recursive: true, force: true });
});

for (const protocol of ['http/protobuf', 'http/json', 'grpc']) {
  test(`calls and what they ask of the store arrive by ${protocol}`, { skip }, async (t) => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: protocol === 'grpc' ? collector.grpc : collector.http,
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_SERVICE_NAME: `scheduler by ${protocol}`,
      OTEL_TRACES_SAMPLER: 'parentbased_always_on',
      OTEL_BSP_SCHEDULE_DELAY: '100',
    };
    const scheduler = await startService(t, 'scheduler', ['--store', join(folder, 'store')], env);
    const client = connect(SchedulerServiceClient, scheduler.address);
    t.after(() => client.close());
    await assert.rejects(client.getSchedule({ name: 'projects/p/schedules/none' }, { timeoutMs: 10_000 }), (error: NotFound) => {
      return error.name === 'NotFound';
    });
    const mine = (name: string) => collector.find(name, (span) => span.service === env.OTEL_SERVICE_NAME && span.name === name);
    const call = await mine('dropstream.v1.SchedulerService/GetSchedule');
    assert.equal(call.kind, 'server');
    assert.equal(call.attributes['rpc.response.status_code'], 'NOT_FOUND');
    assert.equal(call.attributes['rpc.system.name'], 'grpc');
    assert.equal(call.failed, false, 'a caller that asks for what is not there is no failure of the server');
    const stored = await mine('store list');
    assert.equal(stored.traceId, call.traceId);
    assert.equal(stored.parentSpanId, call.spanId);
    assert.equal(stored.attributes['dropstream.store.key_kind'], 'schedules/incarnations');
    assert.equal(await scheduler.end('SIGTERM'), 0);
  });
}
