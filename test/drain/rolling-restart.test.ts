/**
 * Every process of a system with two replicas of each api is restarted twice, over MinIO, while runs are trained and evaluated and callers call: no call
 * fails that may be repeated within its deadline, and no step is lost or done twice.
 */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { checkEvents } from '../chaos/check-run.js';
import { checkSteps } from '../chaos/check-steps.js';
import { startMinio } from '../support/minio.js';
import { connectTrainer, demandingSpec, follow, history, makeWorkspace } from '../support/training.js';
import { ReplicatedFleet } from './replicated-fleet.js';
import { callSteadily } from './steady-caller.js';

const parent = 'projects/test';
const soon = { timeoutMs: 30_000 };

test('a rolling restart of everything, twice: no call fails, and no step is lost or done twice', { timeout: 300_000 }, async (t) => {
  const minio = await startMinio();
  if ('skip' in minio) return t.skip(minio.skip);
  t.after(() => minio.stop());
  const store = await minio.createBucket('rolling');
  const env = { ...process.env, ...minio.env, DROPSTREAM_THREADS: '1', NODE_TEST_CONTEXT: '' };
  const workspace = await makeWorkspace(t, { store, env: env as Record<string, string>, train: 512, test: 64 });
  const logs = join(workspace.folder, 'logs');
  await mkdir(logs);
  const fleet = await ReplicatedFleet.start({ store, dataRoot: workspace.dataRoot, logs, env });
  t.after(() => fleet.stop());
  const trainer = connectTrainer(fleet.address('trainer'));
  t.after(() => trainer.close());
  const evaluated = { evalManifest: workspace.test, disableEval: false };
  const spec = RunSpec.fromPartial({ ...demandingSpec(workspace, { epochs: 4, cutoffEpoch: 2, saveCkptSeconds: 0 }), ...evaluated });
  const train = async (runId: string): Promise<RunEvent[]> => {
    const { run } = await trainer.createRun({ parent, runId, requestId: runId, spec }, soon);
    return await follow(trainer, run!.name);
  };
  const calm = { steps: history(await train('calm')), results: new Map() };
  assert.equal(calm.steps.size, 8);

  const over = new AbortController();
  const calls = callSteadily(
    (service) => fleet.address(service),
    { parent, run: `${parent}/runs/calm`, manifest: workspace.train },
    over.signal,
  );
  const histories: RunEvent[][] = [];
  const training = (async () => {
    while (!over.signal.aborted) histories.push(await train(`run-${histories.length}`));
  })();
  training.catch(() => {});
  try {
    for (let round = 0; round < 2; round++) await fleet.restart();
  } finally {
    over.abort();
  }
  const { answered, failed } = await calls;
  await training;
  const { starts, crashes } = fleet.facts;
  let [attempts, repeated] = [0, 0];
  for (const events of histories) {
    assert.deepEqual(checkEvents(events), []);
    const steps = checkSteps(events, calm, { sameLosses: true });
    assert.deepEqual(steps.wrong, []);
    repeated += steps.repeated;
    attempts += events.filter(({ event }) => event?.$case === 'claimed').length;
    assert.ok(!events.some(({ event }) => event?.$case === 'state' && event.value.state === RunState.FAILED));
  }
  t.diagnostic(JSON.stringify({ answered, runs: histories.length, attempts, starts }));
  assert.deepEqual(failed, []);
  assert.deepEqual(crashes, []);
  assert.equal(repeated, 0, 'steps that were done twice');
  assert.equal(starts, 3 * 11);
  for (const [method, count] of Object.entries(answered)) assert.ok(count > 0, method);
});
