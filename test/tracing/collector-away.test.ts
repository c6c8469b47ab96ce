/** A collector that is away, hangs or comes back changes nothing for callers, and the log says so once. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect } from '#rpc/client.js';
import { collectorTool, startCollector } from '../support/collector.js';
import { type ServiceProcess, startService } from '../support/processes.js';
import { freePort } from '../support/tool.js';
import { until } from '../support/until.js';

const tool = await collectorTool();
const skip = 'skip' in tool && tool.skip;

const always = { OTEL_TRACES_SAMPLER: 'always_on', OTEL_BSP_SCHEDULE_DELAY: '20', OTEL_EXPORTER_OTLP_TIMEOUT: '100' };

async function schedulerWith(t: TestContext, env: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-tracing-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const scheduler = await startService(t, 'scheduler', ['--store', join(folder, 'store')], { ...always, ...env });
  const client = connect(SchedulerServiceClient, scheduler.address);
  t.after(() => client.close());
  return { scheduler, list: async () => await client.listSchedules({ parent: 'projects/p' }, { timeoutMs: 30_000 }) };
}

const count = ({ log }: ServiceProcess, text: string): number => log().split(text).length - 1;
const warning = 'the trace collector does not take spans';

test('a collector that is away is named once, and again when it takes spans', { skip }, async (t) => {
  if ('skip' in tool) return;
  const port = await freePort();
  const { scheduler, list } = await schedulerWith(t, { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` });
  await until('a warning', async () => (await list()) && count(scheduler, warning) > 0);
  for (let call = 0; call < 50; call++) {
    await list();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(count(scheduler, warning), 1);
  const collector = await startCollector(tool.path, { http: port });
  t.after(() => collector.close());
  await until('a span', async () => (await list()) && collector.spans.length > 0);
  await until('good news', () => count(scheduler, 'the trace collector takes spans again') === 1);
  assert.equal(await scheduler.end('SIGTERM'), 0);
});

test('a collector that takes connections and says nothing delays no call and no end', async (t) => {
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const { port } = silent.address() as AddressInfo;
  // The export itself may take an hour; the end of the process has its own deadline.
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_TIMEOUT: '3600000',
    OTEL_BSP_EXPORT_TIMEOUT: '3600000',
  };
  const { scheduler, list } = await schedulerWith(t, env);
  for (let call = 0; call < 20; call++) await list();
  assert.equal(await scheduler.end('SIGTERM'), 0);
});
