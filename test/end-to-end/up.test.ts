/**
 * `dropstream up` over a directory and over a real MinIO: a run with evaluations, the services seen by grpcurl, their series by promtool,
 * and the dashboard's queries by a real Prometheus.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { startMinio } from '../support/minio.js';
import { findTool, freePort } from '../support/tool.js';
import { connectTrainer, demandingSpec, follow, makeWorkspace, type Workspace } from '../support/training.js';
import { startUp, type Up } from '../support/up.js';

const run = promisify(execFile);
const grpcServices: Record<string, string> = {
  data: 'dropstream.v1.DataService',
  scheduler: 'dropstream.v1.SchedulerService',
  trainer: 'dropstream.v1.TrainerService',
  evaluator: 'dropstream.v1.EvaluatorService',
};

async function trainOnce(up: Up, workspace: Workspace): Promise<RunEvent[]> {
  const trainer = connectTrainer(up.address('trainer'));
  try {
    const spec = demandingSpec(workspace, {
      epochs: 3,
      cutoffEpoch: 2,
      updateFreq: 1,
      mixup: 0,
      cutmix: 0,
      disableEval: false,
      evalManifest: workspace.test,
      modelEmaEval: true,
    });
    const created = await trainer.createRun({ parent: 'projects/default', runId: 'first', spec }, { timeoutMs: 30_000 });
    return await follow(trainer, created.run!.name);
  } finally {
    trainer.close();
  }
}

function assertWhole(events: readonly RunEvent[]): void {
  const last = events.at(-1)!.event!;
  assert.equal(last.$case, 'state');
  assert.equal(last.$case === 'state' && last.value.state, RunState.SUCCEEDED, JSON.stringify(last.value));
  const evaluations = events.flatMap(({ event }) => (event?.$case === 'evaluation' ? [event.value] : []));
  assert.equal(evaluations.length, 3);
  for (const { result } of evaluations) {
    assert.equal(result!.samples, 100n);
    assert.ok(result!.weights!.top5 >= result!.weights!.top1 && result!.ema !== undefined);
  }
  assert.equal(events.filter(({ event }) => event?.$case === 'epoch').length, 3);
}

test('over a directory: a run, reflection, series, dashboard', { timeout: 300_000 }, async (t) => {
  const workspace = await makeWorkspace(t, { train: 512 });
  const up = await startUp(t, workspace.folder, ['--store', workspace.store, '--data-root', workspace.dataRoot]);
  // It scrapes while the run goes on: the series of a run go with it.
  const prometheus = await startPrometheus(t, workspace.folder, up);
  const begun = Date.now() / 1000;
  assertWhole(await trainOnce(up, workspace));

  await t.test('grpcurl lists every service by reflection', async (t) => {
    const grpcurl = await findTool('grpcurl');
    if ('skip' in grpcurl) return t.skip(grpcurl.skip);
    for (const { service, address } of up.services) {
      const { stdout } = await run(grpcurl.path, ['-plaintext', address, 'list'], { timeout: 20_000 });
      assert.ok(stdout.split('\n').includes(grpcServices[service]!), stdout);
      const health = await run(grpcurl.path, ['-plaintext', address, 'grpc.health.v1.Health/Check'], { timeout: 20_000 });
      assert.match(health.stdout, /SERVING/);
    }
  });

  await t.test('promtool accepts every /metrics', async (t) => {
    const promtool = await findTool('promtool');
    if ('skip' in promtool) return t.skip(promtool.skip);
    for (const { name, admin } of up.services) {
      const text = await (await fetch(`${admin}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
      const complaints = await lint(promtool.path, text);
      assert.equal(complaints, '', `${name}: ${complaints}`);
    }
  });

  await t.test("the dashboard's queries answer in a real Prometheus", async (t) => {
    if ('skip' in prometheus) return t.skip(prometheus.skip);
    const expressions = [...collect(JSON.parse(readFileSync(dashboardPath, 'utf8')))];
    assert.ok(expressions.length >= 10);
    for (const expression of expressions) {
      const query = expression.replaceAll(/\$__rate_interval|\$__interval|\$__range/g, '30s').replaceAll(/\$\{?\w+\}?/g, '.*');
      const answer = await prometheus.range(query, begun - 5, Date.now() / 1000);
      assert.equal(answer.status, 'success', `${expression}: ${answer.error}`);
      assert.notDeepEqual(answer.data!.result, [], `${expression} has nothing to show`);
    }
  });

  assert.equal(await up.stop(), 0);
});

test('over MinIO, where every call to this machine through the proxy of the environment would fail: the same run', {
  timeout: 300_000,
}, async (t) => {
  const minio = await startMinio();
  if ('skip' in minio) return t.skip(minio.skip);
  t.after(() => minio.stop());
  const store = await minio.createBucket('dropstream', 'tests');
  const workspace = await makeWorkspace(t, { store, env: { ...minio.env }, train: 512 });
  const up = await startUp(t, workspace.folder, ['--store', store, '--data-root', workspace.dataRoot], {
    ...minio.env,
    http_proxy: 'http://127.0.0.1:9',
    https_proxy: 'http://127.0.0.1:9',
    no_proxy: '',
  });
  assertWhole(await trainOnce(up, workspace));
  const trainer = connectTrainer(up.address('trainer'));
  t.after(() => trainer.close());
  const { checkpoint } = await trainer.getCheckpoint(
    { name: 'projects/default/runs/first/checkpoints/latest', urlExpirySeconds: 60 },
    { timeoutMs: 10_000 },
  );
  const file = checkpoint!.files.find(({ role }) => role.startsWith('weights'))!;
  const answer = await fetch(file.url, { signal: AbortSignal.timeout(10_000) });
  assert.equal((await answer.arrayBuffer()).byteLength, Number(file.sizeBytes));
  assert.equal(await up.stop(), 0);
});

/** @returns what promtool has to say against the text, '' for nothing */
async function lint(promtool: string, text: string): Promise<string> {
  const child = spawn(promtool, ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stdin.end(text);
  const [code] = (await once(child, 'exit')) as [number];
  return code === 0 ? '' : said;
}

interface RangeAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result: readonly unknown[] };
}

/** Scrapes every service each second; returns once each has been scraped twice. */
async function startPrometheus(
  t: TestContext,
  folder: string,
  up: Up,
): Promise<{ skip: string } | { range(query: string, start: number, end: number): Promise<RangeAnswer> }> {
  const tool = await findTool('prometheus');
  if ('skip' in tool) return tool;
  const port = await freePort();
  const home = join(folder, 'prometheus');
  mkdirSync(home);
  const jobs = up.services.map(({ name, service, admin }) => ({
    job_name: name,
    static_configs: [{ targets: [admin.replace('http://', '')], labels: { service } }],
  }));
  writeFileSync(join(home, 'prometheus.yml'), JSON.stringify({ global: { scrape_interval: '1s' }, scrape_configs: jobs }));
  const flags = [`--config.file=${home}/prometheus.yml`, `--storage.tsdb.path=${home}/data`, `--web.listen-address=127.0.0.1:${port}`];
  const server = spawn(tool.path, flags, { stdio: 'ignore' });
  t.after(async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  });
  const range = async (query: string, start: number, end: number): Promise<RangeAnswer> => {
    const url = `http://127.0.0.1:${port}/api/v1/query_range?query=${encodeURIComponent(query)}&start=${start}&end=${end}&step=1`;
    return (await (await fetch(url, { signal: AbortSignal.timeout(5_000) })).json()) as RangeAnswer;
  };
  const begun = Date.now() / 1000;
  for (let left = 60; ; left--) {
    const scraped = await range('min(count_over_time(up[1m])) >= 2', begun, Date.now() / 1000).catch(() => undefined);
    if ((scraped?.data?.result.length ?? 0) > 0) return { range };
    assert.ok(left > 0, 'Prometheus did not scrape every service twice in 60 s');
    await delay(1000);
  }
}

const dashboardPath = fileURLToPath(new URL('../../deploy/grafana/dashboards/dropstream.json', import.meta.url));

interface Panel {
  readonly expr?: string;
  readonly [key: string]: unknown;
}

/** Every query expression of a dashboard. */
function* collect(node: unknown): Generator<string> {
  if (Array.isArray(node)) for (const item of node) yield* collect(item);
  else if (typeof node === 'object' && node !== null) {
    if (typeof (node as Panel).expr === 'string') yield (node as Panel).expr!;
    for (const value of Object.values(node)) yield* collect(value);
  }
}
