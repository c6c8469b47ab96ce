/**
 * A run on the GPU loses its worker twice by SIGKILL, is paused and resumed by another process. On one adapter nothing of its history may change: the
 * same losses and norms of gradients, bit for bit, as in an undisturbed run.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { withoutExecutor } from '../../test/support/executors.js';
import {
  connectTrainer,
  demandingSpec,
  follow,
  history,
  makeWorkspace,
  resumes,
  startData,
  startTrainer,
} from '../../test/support/training.js';

const soon = { timeoutMs: 30_000 };

test('on WebGPU, two killed workers, a pause and a resume change no bit of a run', {
  skip: withoutExecutor('webgpu'),
  timeout: 600_000,
}, async (t) => {
  const workspace = await makeWorkspace(t, { train: 256 });
  const spec = demandingSpec(workspace, { engine: Engine.WEBGPU, batchSize: 16, updateFreq: 2, epochs: 12, cutoffEpoch: 8, exact: true });
  const data = [await startData(t, workspace)];
  const api = await startTrainer(t, workspace, data, ['--role', 'api']);
  const trainer = connectTrainer(api.address);
  t.after(() => trainer.close());
  const create = async (runId: string): Promise<string> =>
    (await trainer.createRun({ parent: 'projects/test', runId, spec }, soon)).run!.name;

  let worker = await startTrainer(t, workspace, data, ['--role', 'worker']);
  const calm = history(await follow(trainer, await create('calm'), undefined, 240_000));
  assert.equal(calm.size, 96);

  const name = await create('stormy');
  const interruptions: ('kill' | 'pause')[] = ['kill', 'pause', 'kill'];
  const acts: Promise<unknown>[] = [];
  let undisturbed = true;
  let checkpointed = false;
  const events = await follow(
    trainer,
    name,
    ({ event }) => {
      // Every interruption waits until the attempt after the one before has got further. A worker that pauses writes a checkpoint, too.
      if (event?.$case === 'resumed') undisturbed = true;
      if (event?.$case === 'checkpoint' && undisturbed) checkpointed = true;
      if (event?.$case === 'state' && event.value.state === RunState.PAUSED) acts.push(trainer.resumeRun({ name }, soon));
      if (event?.$case !== 'steps' || !checkpointed || interruptions.length === 0) return;
      [undisturbed, checkpointed] = [false, false];
      if (interruptions.shift() === 'pause') acts.push(trainer.pauseRun({ name }, soon));
      else {
        acts.push(
          worker.end('SIGKILL').then(async () => {
            worker = await startTrainer(t, workspace, data, ['--role', 'worker']);
          }),
        );
      }
    },
    240_000,
  );
  await Promise.all(acts);

  assert.deepEqual(interruptions, [], 'the run ended before it was interrupted three times');
  const from = resumes(events);
  assert.ok(from.filter((step) => step > 0).length >= 3, `resumed from ${from}`);
  const changed = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value.fingerprintChanged] : []));
  assert.ok(!changed.includes(true));
  const stormy = history(events);
  assert.equal(stormy.size, calm.size);
  for (const [step, { loss, gradNorm }] of calm) {
    assert.deepEqual([stormy.get(step)?.loss, stormy.get(step)?.gradNorm], [loss, gradNorm], `step ${step}`);
  }
  const { latestCheckpoint } = (await trainer.getRun({ name }, soon)).run!;
  const { checkpoint } = await trainer.getCheckpoint({ name: latestCheckpoint, urlExpirySeconds: 0 }, soon);
  assert.match(checkpoint!.fingerprint, /^webgpu\/fp32\//);
});
