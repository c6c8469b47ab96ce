/**
 * One attempt at a run by the worker that claimed it: load the newest whole checkpoint, train on, save, have checkpoints evaluated, end.
 * What ends an attempt in the middle of a step loses that step and nothing else.
 */
import type { Program } from '#engine/index.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { type AttemptContext, type AttemptOptions, attemptContext } from './attempt-context.js';
import type { CheckpointEvaluations } from './evaluations.js';
import { Interrupted, Interruption } from './interruption.js';
import { RunCheckpoints } from './run-checkpoints.js';
import { openRunEvaluations } from './run-evaluations.js';
import { compileRun } from './run-program.js';
import { startingPoint } from './starting-point.js';
import { StepsRecorder } from './steps-recorder.js';
import { train } from './train.js';

/** trained: to the end, evaluations included as far as they came. */
export type RunOutcome = { readonly kind: 'trained'; readonly note: string } | { readonly kind: 'paused' } | { readonly kind: 'stopped' };

export async function attemptRun(options: AttemptOptions): Promise<RunOutcome> {
  const context = attemptContext(options);
  const interruption = new Interruption(context);
  const steps = new StepsRecorder({ append: (steps) => context.append({ $case: 'steps', value: { steps } }) });
  const evaluations = openRunEvaluations(context);
  const checkpoints = new RunCheckpoints({
    ...context,
    flush: () => steps.flush(),
    evaluate: evaluations && ((checkpoint) => evaluations.begin(checkpoint)),
  });
  let program: Program | undefined;
  try {
    program = await compileRun(context.spec);
    return await toTheEnd(context, { program, steps, checkpoints, interruption, evaluations });
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    return { kind: error.kind };
  } finally {
    interruption.close();
    steps.close();
    await checkpoints.close();
    await evaluations?.close();
    program?.dispose();
  }
}

interface Parts {
  readonly program: Program;
  readonly steps: StepsRecorder;
  readonly checkpoints: RunCheckpoints;
  readonly interruption: Interruption;
  readonly evaluations: CheckpointEvaluations | undefined;
}

/** @throws Interrupted */
async function toTheEnd(context: AttemptContext, parts: Parts): Promise<RunOutcome> {
  const { claimed, logger, metrics, project, run, totalSteps, evaluationWaitMs } = context;
  const { program, checkpoints, evaluations, interruption } = parts;
  metrics.engineBytes.set({ project, run }, program.peakBytes);
  logger.info({ engine_bytes: program.peakBytes, numerics: fingerprintLine(program.fingerprint) }, 'the model is compiled');
  const from = await startingPoint(context, program);
  // Those that an earlier attempt did not see to the end.
  if (evaluations) for (const checkpoint of claimed.view.unevaluated) evaluations.begin(checkpoint);
  logger.info({ step: from.step, total_steps: totalSteps, attempt: claimed.view.run.attempt }, 'training');
  if (from.step < totalSteps) await train(context, parts, from);
  await checkpoints.drain();
  const unsettled = (await evaluations?.settle(evaluationWaitMs, interruption.signal)) ?? [];
  return { kind: 'trained', note: unsettled.length === 0 ? '' : `evaluations without an answer: ${unsettled.join(', ')}` };
}
