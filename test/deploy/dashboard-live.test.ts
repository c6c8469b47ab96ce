import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { ExternalScalerClient } from '#protocol/externalscaler/externalscaler.js';
import { connect } from '#rpc/client.js';
import { demoSpec } from '../../services/cli/demo/demo-spec.js';
import { startLocalServices } from '../support/local-services.js';
import { complaintsAboutMetrics } from '../support/metrics-lint.js';
import { startMinio } from '../support/minio.js';
import { startPrometheus } from '../support/prometheus.js';
import { findTool } from '../support/tool.js';
import { dashboardQueries } from './dashboard-queries.js';
import { ruleFiles } from './rule-files.js';

const [minio, prometheus, promtool] = [await startMinio(), await findTool('prometheus'), await findTool('promtool')];
const skip = [minio, prometheus, promtool].map((tool) => ('skip' in tool ? tool.skip : '')).find((why) => why !== '') || false;

test('services over a real MinIO: metrics are well formed, and every panel of every dashboard answers in a real Prometheus', {
  skip,
}, async (t) => {
  if ('skip' in minio || 'skip' in promtool) return;
  t.after(() => minio.stop());
  const store = await minio.createBucket('dropstream');
  const local = await startLocalServices({ perClass: 140, store, env: minio.env });
  t.after(() => local.stop());
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-prometheus-'));
  t.after(() => rm(folder, { recursive: true, force: true }));

  const targets = local.services.state.services.map((s) => s.admin.replace('http://', ''));
  const config = join(folder, 'prometheus.yml');
  const global = { scrape_interval: '1s', evaluation_interval: '1s' };
  const scrape_configs = [{ job_name: 'dropstream', static_configs: [{ targets }] }];
  await writeFile(config, JSON.stringify({ global, rule_files: ruleFiles(), scrape_configs }));
  const server = await startPrometheus(t, folder, config);
  if ('skip' in server) return t.skip(server.skip);

  const began = Date.now() / 1000;
  const trainer = connect(TrainerServiceClient, local.of('trainer').address);
  t.after(() => trainer.close());
  const spec = demoSpec({
    epochs: 30,
    samples: 1200,
    trainManifest: local.train.sha256,
    evalManifest: local.test.sha256,
    holdoutStride: 0,
  });
  const { run } = await trainer.createRun({ parent: 'projects/default', runId: 'watched', spec }, { timeoutMs: 20_000 });
  // As KEDA asks, again and again.
  const scaler = connect(ExternalScalerClient, local.of('trainer').address);
  t.after(() => scaler.close());
  const scaledObjectRef = { name: 'workers', namespace: 'training', scalerMetadata: { part: 'trainer-worker' } };
  const ended = new AbortController();
  const asking = (async () => {
    while (!ended.signal.aborted) {
      await scaler.getMetrics({ scaledObjectRef, metricName: 'dropstream-trainer-workers' }, { timeoutMs: 20_000 });
      await delay(1000, undefined, { signal: ended.signal }).catch(() => undefined);
    }
  })();
  let state = RunState.QUEUED;
  for await (const { event } of trainer.watchRun({ name: run!.name }, { timeoutMs: 240_000 })) {
    if (event?.event?.$case === 'state') state = event.event.value.state;
  }
  ended.abort();
  await asking;
  assert.equal(RunState[state], 'SUCCEEDED');

  for (const { name, admin } of local.services.state.services) {
    assert.equal(await complaintsAboutMetrics(promtool.path, admin), '', name);
    const page = await (await fetch(`${admin}/metrics`)).text();
    assert.doesNotMatch(page, /run="watched"/, `${name}: the series of a run go when it ends`);
  }

  const answers = async (query: string): Promise<boolean> =>
    (await server.range(query, began, Date.now() / 1000)).some(({ values }) => values.some(([, value]) => value !== 'NaN'));
  let silent = dashboardQueries('1m');
  assert.ok(silent.length > 100);
  for (const end = performance.now() + 30_000; silent.length > 0 && performance.now() < end; await delay(500)) {
    const heard = await Promise.all(silent.map(({ expr }) => answers(expr)));
    silent = silent.filter((_, k) => !heard[k]);
  }
  assert.deepEqual(silent, []);

  const parameters = new URLSearchParams({
    query: 'grpc_server_handling_seconds_bucket',
    start: String(began),
    end: String(Date.now() / 1000),
  });
  const found = await server.api<{ exemplars: { labels: Record<string, string> }[] }[]>(`query_exemplars?${parameters}`);
  const traces = found.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels.trace_id));
  assert.ok(traces.length > 0, 'Prometheus asks for OpenMetrics, and finds exemplars there');
  for (const trace of traces) assert.match(trace!, /^[0-9a-f]{32}$/);
});
