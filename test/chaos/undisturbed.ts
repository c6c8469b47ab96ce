/** The run without any disturbance, with which all others are compared. */
import { expectedBatches } from '../support/expected-batches.js';
import { connectTrainer, follow, history, type Workspace } from '../support/training.js';
import { evaluationsOf } from './check-evaluations.js';
import type { Calm } from './check-run.js';
import { evaluatedSpec, PARENT } from './run-specs.js';
import type { System } from './system.js';

/** @throws Error if it was not trained on the batches of its plan, or lacks results */
export async function undisturbed(system: System, workspace: Workspace): Promise<Calm> {
  const trainer = connectTrainer(system.of('trainer', 'api')[0]!.address);
  try {
    const spec = evaluatedSpec(workspace);
    const { run } = await trainer.createRun({ parent: PARENT, runId: 'calm', spec }, { timeoutMs: 20_000 });
    const events = await follow(trainer, run!.name);
    const steps = history(events);
    const expected = await expectedBatches(system.of('data')[0]!.address, spec, 4, 8);
    const trained = [...steps]
      .sort(([a], [b]) => a - b)
      .flatMap(([, { batchSha256 }]) => batchSha256.map((hash) => Buffer.from(hash).toString('hex')));
    if (trained.join() !== expected.hashes.join()) throw new Error('the undisturbed run was not trained on the batches of its plan');
    for (const positions of expected.samplesByEpoch)
      if (new Set(positions).size !== 2048) throw new Error('an epoch of the plan does not have every sample once');
    const results = new Map(evaluationsOf(events).flatMap(({ step, result }) => (result ? [[Number(step), result] as const] : [])));
    if (results.size !== spec.epochs || [...results.values()].some(({ weights, ema }) => !weights || !ema))
      throw new Error(`the undisturbed run has the results of ${results.size} of ${spec.epochs} evaluations`);
    return { steps, results };
  } finally {
    trainer.close();
  }
}
