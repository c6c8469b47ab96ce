/**
 * `dropstream up` over a directory and over a real MinIO: a run with evaluations, the services seen by grpcurl, their series by promtool,
 * and its own configuration by a real Prometheus.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { alertRules, recordingRules } from '../deploy/rule-files.js';
import { complaintsAboutMetrics } from '../support/metrics-lint.js';
import { startMinio } from '../support/minio.js';
import { startPrometheus } from '../support/prometheus.js';
import { findTool } from '../support/tool.js';
import { connectTrainer, demandingSpec, follow, makeWorkspace, type Workspace } from '../support/training.js';
import { until } from '../support/until.js';
import { startUp, type Up } from '../support/up.js';

const run = promisify(execFile);
/** Prometheus looks every 5 s. */
const patiently = { looks: 60, pauseMs: 500 };
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

test('over a directory: a run, reflection, series, Prometheus', { timeout: 300_000 }, async (t) => {
  const workspace = await makeWorkspace(t, { train: 512 });
  const up = await startUp(t, workspace.folder, ['--store', workspace.store, '--data-root', workspace.dataRoot]);
  // It scrapes while the run goes on: the series of a run go with it.
  const written = join(workspace.folder, '.dropstream', 'prometheus');
  const prometheus = await startPrometheus(t, workspace.folder, join(written, 'prometheus.yml'));
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
      assert.equal(await complaintsAboutMetrics(promtool.path, admin), '', name);
    }
  });

  await t.test('the configuration that `up` writes is one of a real Prometheus: all services, rules and alerts', async (t) => {
    if ('skip' in prometheus) return t.skip(prometheus.skip);
    const names = [...up.services.map(({ name }) => name), 'gateway'].sort();
    await until(
      'every service is scraped',
      async () => {
        const { activeTargets } = await prometheus.api<{ activeTargets: { health: string; labels: Record<string, string> }[] }>('targets');
        const scraped = activeTargets.filter(({ health }) => health === 'up').map(({ labels }) => labels.name);
        return scraped.sort().join() === names.join();
      },
      patiently,
    );
    const { groups } = await prometheus.api<{ groups: { rules: { name: string }[] }[] }>('rules');
    const loaded = groups.flatMap(({ rules }) => rules.map(({ name }) => name));
    for (const { name } of [...alertRules(), ...recordingRules()]) assert.ok(loaded.includes(name), name);
    const counted = async (): Promise<boolean> =>
      (await prometheus.range('dropstream_trainer_images_total > 0', begun, Date.now() / 1000)).length > 0;
    await until('the run is seen', counted, patiently);
  });

  assert.equal(await up.stop(), 0);
  assert.equal(readFileSync(join(written, 'targets.json'), 'utf8'), '[]\n', 'services that were stopped are not missed');
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
