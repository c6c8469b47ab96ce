/** Without a collector in the environment, no service loads OpenTelemetry's SDK, and no caller can make it record anything. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect } from '#rpc/client.js';
import { startService } from '../support/processes.js';

/** Makes a process say at its end which modules of OpenTelemetry it has loaded. They are CommonJS, so that Node's one cache knows them all. */
const spy = `data:text/javascript,${encodeURIComponent(`
  import { createRequire } from 'node:module';
  const { cache } = createRequire('file:///spy.js');
  process.on('exit', () => {
    const names = Object.keys(cache).map((file) => /node_modules[/](@opentelemetry[/][^/]+)/.exec(file)?.[1]).filter(Boolean);
    console.error('LOADED ' + [...new Set(names)].sort().join(' '));
  });
`)}`;

const sampled = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
const off: Record<string, string>[] = [
  {},
  { OTEL_TRACES_SAMPLER: 'always_on', OTEL_SERVICE_NAME: 'x' },
  { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_SDK_DISABLED: 'true' },
  { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_TRACES_EXPORTER: 'none' },
];
const on: Record<string, string> = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9', OTEL_EXPORTER_OTLP_TIMEOUT: '200' };

for (const [env, isOn] of [...off.map((each) => [each, false] as const), [on, true] as const]) {
  test(`${isOn ? 'the SDK is loaded' : 'nothing of the SDK is loaded'} with ${JSON.stringify(env)}`, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'dropstream-tracing-'));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const scheduler = await startService(t, 'scheduler', ['--store', join(folder, 'store')], { ...env, NODE_OPTIONS: `--import=${spy}` });
    const client = connect(SchedulerServiceClient, scheduler.address);
    t.after(() => client.close());
    await client.listSchedules({ parent: 'projects/p' }, { timeoutMs: 30_000, metadata: { traceparent: sampled } });
    assert.equal(await scheduler.end('SIGTERM'), 0);
    const loaded = /^LOADED (.*)$/m.exec(scheduler.log())?.[1]?.split(' ');
    if (isOn) for (const name of ['sdk-trace', 'exporter-trace-otlp-proto']) assert.ok(loaded?.includes(`@opentelemetry/${name}`), name);
    else assert.deepEqual(loaded, ['@opentelemetry/api']);
  });
}
