import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { demoSpec } from '../../services/cli/demo/demo-spec.js';
import { startLocalServices } from '../support/local-services.js';
import { startMinio } from '../support/minio.js';
import { findTool, freePort } from '../support/tool.js';
import { dashboardQueries } from './dashboard-queries.js';
import { ruleFiles } from './rule-files.js';

const [minio, prometheus, promtool] = [await startMinio(), await findTool('prometheus'), await findTool('promtool')];
const skip = [minio, prometheus, promtool].map((tool) => ('skip' in tool ? tool.skip : '')).find((why) => why !== '') || false;

test('services over a real MinIO: metrics are well formed, and every panel of every dashboard answers in a real Prometheus', {
  skip,
}, async (t) => {
  if ('skip' in minio || 'skip' in prometheus || 'skip' in promtool) return;
  t.after(() => minio.stop());
  const store = await minio.createBucket('dropstream');
  const local = await startLocalServices({ perClass: 140, store, env: minio.env });
  t.after(() => local.stop());
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-prometheus-'));
  t.after(() => rm(folder, { recursive: true, force: true }));

  const targets = local.services.state.services.map((s) => s.admin.replace('http://', ''));
  const scrapes = [{ job_name: 'dropstream', static_configs: [{ targets }] }];
  const global = { scrape_interval: '1s', evaluation_interval: '1s' };
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify({ global, rule_files: ruleFiles(), scrape_configs: scrapes }));
  const base = `http://127.0.0.1:${await freePort()}`;
  const options = [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=${base.slice(7)}`,
    '--log.level=error',
  ];
  const server = spawn(prometheus.path, options, { stdio: ['ignore', 'inherit', 'inherit'] });
  t.after(async () => {
    const gone = once(server, 'exit');
    server.kill('SIGTERM');
    await gone;
  });

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
  let state = RunState.QUEUED;
  for await (const { event } of trainer.watchRun({ name: run!.name }, { timeoutMs: 240_000 })) {
    if (event?.event?.$case === 'state') state = event.event.value.state;
  }
  assert.equal(RunState[state], 'SUCCEEDED');

  for (const { name, admin } of local.services.state.services) {
    const page = await (await fetch(`${admin}/metrics`)).text();
    const said: string = execFileSync(promtool.path, ['check', 'metrics'], {
      input: page,
      encoding: 'utf8',
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    assert.equal(said.trim(), '', name);
    assert.doesNotMatch(page, /run="watched"/, `${name}: the series of a run go when it ends`);
  }

  const answers = async (query: string): Promise<boolean> => {
    const range = new URLSearchParams({ query, start: String(began), end: String(Date.now() / 1000), step: '1' });
    const response = await fetch(`${base}/api/v1/query_range?${range}`, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined);
    const { data } = response?.ok
      ? ((await response.json()) as { data: { result: { values: [number, string][] }[] } })
      : { data: { result: [] } };
    return data.result.some(({ values }) => values.some(([, value]) => value !== 'NaN'));
  };
  let silent = dashboardQueries('1m');
  assert.ok(silent.length > 100);
  for (const end = performance.now() + 30_000; silent.length > 0 && performance.now() < end; await delay(500)) {
    const heard = await Promise.all(silent.map(({ expr }) => answers(expr)));
    silent = silent.filter((_, k) => !heard[k]);
  }
  assert.deepEqual(silent, []);
});
