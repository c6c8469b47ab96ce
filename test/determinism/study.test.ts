/** A study whose worker is killed twice has the report of one that nothing disturbs. The store is a MinIO. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { startMinio } from '../support/minio.js';
import { type ServiceProcess, startService } from '../support/processes.js';
import { runCommandLine } from '../support/run-command-line.js';
import { connectTrainer, makeWorkspace, startData, startTrainer } from '../support/training.js';
import { until } from '../support/until.js';

test('2 arms × 3 seeds over MinIO, a worker killed twice: the report of an undisturbed study', { timeout: 600_000 }, async (t) => {
  const minio = await startMinio();
  if ('skip' in minio) return t.skip(minio.skip);
  t.after(() => minio.stop());
  const { env } = minio;
  const workspace = await makeWorkspace(t, { train: 1024, test: 128, store: await minio.createBucket('study'), env });
  const data = await startData(t, workspace, env);
  const evaluator = await startService(t, 'evaluator', ['--store', workspace.store, '--data', data.address, '--poll-ms', '100'], env);
  const api = await startTrainer(t, workspace, [data], ['--role', 'api'], env);
  const startWorker = (): Promise<ServiceProcess> =>
    startTrainer(t, workspace, [data], ['--role', 'worker', '--evaluator', evaluator.address], env);

  const file = join(workspace.folder, 'study.yaml');
  await writeFile(
    file,
    `study: small
options:
  model: vit_nano_p7
  input_size: 28
  train_manifest: ${workspace.train}
  eval_manifest: ${workspace.test}
  batch_size: 32
  epochs: 4
  warmup_epochs: 1
  lr: 2e-3
  save_ckpt_seconds: 1
arms:
  none: {}
  early: { drop_path: 0.3, drop_mode: early, drop_schedule: linear, cutoff_epoch: 2, model_ema: true, model_ema_decay: 0.9 }
seeds: 3
in_flight: 2
`,
  );
  const study = (command: string, project: string, ...argv: string[]) =>
    runCommandLine(['study', command, ...argv, '--project', project, '--trainer', api.address], {
      cwd: workspace.folder,
      timeoutMs: 240_000,
    });
  const create = async (project: string): Promise<void> => {
    const { code, err, out } = await study('create', project, file);
    assert.equal(code, 0, err);
    assert.match(out, /all 6 runs have ended/);
  };
  const reportOf = async (project: string) => {
    const { code, err, out } = await study('report', project, file, '--json', '--evaluator', evaluator.address);
    assert.equal(code, 0, err);
    return out;
  };
  const client = connectTrainer(api.address);
  t.after(() => client.close());
  const runsOf = async (project: string) => (await client.listRuns({ parent: `projects/${project}` }, { timeoutMs: 10_000 })).runs;

  const calm = await startWorker();
  await create('p');
  assert.equal(await calm.end('SIGTERM'), 0);

  let worker = await startWorker();
  const disturbed = create('q');
  for (const ended of [0, 2]) {
    await until(
      'a run that is under way',
      async () => {
        const runs = await runsOf('q');
        return (
          runs.filter(({ state }) => state === RunState.SUCCEEDED).length >= ended && runs.some(({ state }) => state === RunState.RUNNING)
        );
      },
      { looks: 2000, pauseMs: 100 },
    );
    await delay(500);
    await worker.end('SIGKILL');
    worker = await startWorker();
  }
  await disturbed;

  for (const project of ['p', 'q']) {
    const { code, err } = await study('evaluate', project, file, '--evaluator', evaluator.address);
    assert.equal(code, 0, err);
  }
  const attempts = (await runsOf('q')).reduce((sum, { attempt }) => sum + attempt, 0);
  assert.ok(attempts > 6, `${attempts} attempts for 6 runs: no kill met a training`);
  const report = await reportOf('q');
  assert.equal(report, await reportOf('p'));

  const parsed = JSON.parse(report) as {
    fingerprint: string;
    metrics: { metric: string; arms: { arm: string; runs: number }[]; comparisons: { pairs: number }[] }[];
  };
  assert.match(parsed.fingerprint, /^native\/fp32\//);
  assert.deepEqual(
    parsed.metrics.map(({ metric, arms, comparisons }) => [metric, arms.map(({ runs }) => runs), comparisons.map(({ pairs }) => pairs)]),
    [
      ['train_loss', [3, 3], [3]],
      ['final_train_loss', [3, 3], [3]],
      ['eval_loss', [3, 3], [3]],
      ['top1', [3, 3], [3]],
    ],
  );
  const again = await study('create', 'q', file);
  assert.equal(again.code, 0, again.err);
  assert.equal((await runsOf('q')).length, 6);
  assert.equal(await reportOf('q'), report, 'a study that is created again stays as it is');
});
