/**
 * Processes die by SIGKILL in the middle of a run: a worker three times, a data replica once. Nothing of the run's history may change:
 * the same losses bit for bit as in an undisturbed run, every batch the one that the plan asks for, every position once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { philoxBlock } from '#random/philox.js';
import { expectedBatches } from '../support/expected-batches.js';
import { connectTrainer, demandingSpec, follow, history, makeWorkspace, resumes, startData, startTrainer } from '../support/training.js';

test('three killed workers and a killed data replica change no bit of a run', { timeout: 300_000 }, async (t) => {
  const workspace = await makeWorkspace(t);
  const spec = demandingSpec(workspace, { epochs: 12, cutoffEpoch: 8 });
  const [survivor, victim] = await Promise.all([startData(t, workspace), startData(t, workspace)]);

  // The api lives apart from the workers, so that the watch goes on while they die.
  const api = await startTrainer(t, workspace, [survivor, victim], ['--role', 'api']);
  const trainer = connectTrainer(api.address);
  t.after(() => trainer.close());
  const create = async (runId: string): Promise<string> =>
    (await trainer.createRun({ parent: 'projects/test', runId, spec }, { timeoutMs: 10_000 })).run!.name;

  let worker = await startTrainer(t, workspace, [survivor, victim], ['--role', 'worker']);
  const calm = history(await follow(trainer, await create('calm')));
  assert.equal(calm.size, 96);

  // Kill points: the first kill at any step after the first checkpoint, later ones some steps further, each a seeded part of a step later,
  // so that it falls inside an accumulation window.
  const words = new Uint32Array(4);
  philoxBlock(words, { k0: 2026, k1: 0 }, 0, 0, 0, 0);
  const fraction = (k: number): number => words[k]! / 2 ** 32;
  const killSteps: number[] = [];
  const restarts: Promise<void>[] = [];
  let lastSeen = -1;
  let checkpointed = false;
  /** From the choice of a kill until the run goes on, whatever a slow machine still does in between. */
  let dying = false;
  let nextKill = 0;
  const stepMs = [...calm.values()].map(({ stepSeconds }) => stepSeconds * 1000).sort((a, b) => a - b)[calm.size >> 1]!;

  const events = await follow(trainer, await create('stormy'), ({ event }) => {
    if (event?.$case === 'resumed') checkpointed = dying = false;
    if (event?.$case === 'checkpoint') checkpointed = true;
    if (event?.$case === 'steps') lastSeen = Number(event.value.steps.at(-1)!.step);
    if (killSteps.length === 3 || dying || !checkpointed || event?.$case !== 'steps' || lastSeen < nextKill) return;
    dying = true;
    const kill = killSteps.length;
    nextKill = lastSeen + 4 + Math.floor(4 * fraction(kill));
    killSteps.push(lastSeen);
    restarts.push(
      new Promise<void>((resolve) => setTimeout(resolve, fraction(kill) * stepMs)).then(async () => {
        await worker.end('SIGKILL');
        if (kill === 1) await victim.end('SIGKILL');
        worker = await startTrainer(t, workspace, [survivor, victim], ['--role', 'worker']);
      }),
    );
  });
  await Promise.all(restarts);

  assert.equal(killSteps.length, 3, 'the run ended before three kills');
  const from = resumes(events).filter((step) => step > 0);
  assert.equal(from.length, 3, `resumed from ${resumes(events)}, killed after ${killSteps}`);
  // The step that a kill interrupted is not known exactly, but it lies past the last one that the log had.
  for (const [k, step] of from.entries()) assert.ok(step > 0 && step <= lastCheckpointBefore(events, k), `resume ${k} from ${step}`);
  const stormy = history(events);
  assert.deepEqual(
    [...stormy.keys()].sort((a, b) => a - b),
    [...calm.keys()],
  );
  for (const [step, { loss, gradNorm }] of calm) {
    assert.equal(stormy.get(step)!.loss, loss, `loss of step ${step}`);
    assert.equal(stormy.get(step)!.gradNorm, gradNorm, `gradient norm of step ${step}`);
  }

  // Every batch is the plan's, asked for independently of the trainer.
  const expected = await expectedBatches(survivor.address, spec, 4, 8);
  assert.deepEqual(
    [...stormy].sort(([a], [b]) => a - b).flatMap(([, { batchSha256 }]) => batchSha256.map((hash) => hash.toString('hex'))),
    expected.hashes,
  );
  // Every position of every epoch once.
  for (const positions of expected.samplesByEpoch) assert.equal(new Set(positions).size, 2048);
});

/** Steps in the newest checkpoint that the log has before the k-th resume from one. */
function lastCheckpointBefore(events: readonly RunEvent[], k: number): number {
  let step = 0;
  let resumed = 0;
  for (const { event } of events) {
    if (event?.$case === 'checkpoint') step = Number(event.value.step);
    if (event?.$case === 'resumed' && event.value.fromStep > 0n && resumed++ === k) return step;
  }
  throw new Error(`no resume ${k}`);
}
