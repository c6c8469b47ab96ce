/**
 * One attempt at a run by the worker that claimed it: load the newest whole checkpoint, train on, save, have checkpoints evaluated, end.
 * What ends an attempt in the middle of a step loses that step and nothing else.
 */
import type { Program } from '#engine/index.js';
import { inSpan } from '#telemetry/spans.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { noteOnMeasurements } from '../run/adaptive-cutoff.js';
import { type AttemptContext, type AttemptOptions, attemptContext } from './attempt-context.js';
import type { CheckpointEvaluations } from './evaluations.js';
import { Interrupted, Interruption } from './interruption.js';
import { newestNumerics } from './newest-numerics.js';
import { RunCheckpoints } from './run-checkpoints.js';
import { openRunEvaluations } from './run-evaluations.js';
import { SeriesWriter } from './series-writer.js';
import { startingPoint } from './starting-point.js';
import { StepsRecorder } from './steps-recorder.js';
import { train } from './train.js';
import { WaitingStatus } from './waiting-status.js';

/** `trained` means that training is complete; its note tells of evaluations without a result. */
export type RunOutcome = { readonly kind: 'trained'; readonly note: string } | { readonly kind: Interrupted['kind'] };

export async function attemptRun(options: AttemptOptions): Promise<RunOutcome> {
  const context = attemptContext(options);
  const { saveCkpt, saveCkptSeconds } = context.spec;
  context.metrics.begin(options, saveCkpt && saveCkptSeconds > 0 ? saveCkptSeconds : undefined);
  const interruption = new Interruption(context);
  const { uid, logSequence } = context.claimed.view.run;
  const series = new SeriesWriter(context.store, { project: context.project, id: context.run, uid }, Number(logSequence));
  const steps = new StepsRecorder({
    append: async (steps) => {
      await context.append({ $case: 'steps', value: { steps } });
      series.saw(Number(context.claimed.view.run.logSequence));
    },
  });
  const waiting = new WaitingStatus({
    append: async (make) => {
      await options.claimed.append(() => {
        const value = make();
        return value && { body: { $case: 'status', value } };
      });
    },
  });
  const evaluations = openRunEvaluations(context);
  const checkpoints = new RunCheckpoints({
    ...context,
    flush: () => steps.flush(),
    evaluate: evaluations && ((checkpoint) => evaluations.begin(checkpoint)),
  });
  let program = context.inheritance?.program;
  try {
    program ??= await compiled(context, interruption.signal);
    return await toTheEnd(context, { program, steps, checkpoints, interruption, evaluations, waiting });
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    return { kind: error.kind };
  } finally {
    interruption.close();
    steps.close();
    series.close();
    await waiting.close();
    await checkpoints.close();
    await evaluations?.close();
    program?.dispose();
  }
}

async function compiled({ claimed, store, programs, spec, engine, span }: AttemptContext, signal: AbortSignal): Promise<Program> {
  const { checkpoints: known, run } = claimed.view;
  const like = (await newestNumerics(store, known, run.uid, signal))?.fingerprint;
  signal.throwIfAborted();
  const compile = () => programs.compile({ uid: run.uid, spec, like }, engine);
  return await inSpan('compile model', { parent: span, attributes: { 'dropstream.model': spec.model } }, compile);
}

interface Parts {
  readonly program: Program;
  readonly steps: StepsRecorder;
  readonly checkpoints: RunCheckpoints;
  readonly interruption: Interruption;
  readonly evaluations: CheckpointEvaluations | undefined;
  readonly waiting: WaitingStatus;
}

/** @throws Interrupted */
async function toTheEnd(context: AttemptContext, parts: Parts): Promise<RunOutcome> {
  const { claimed, logger, metrics, project, run, totalSteps, evaluationWaitMs } = context;
  const { program, checkpoints, evaluations, interruption, waiting } = parts;
  metrics.engineBytes.set({ project, run }, program.peakBytes);
  if (program.gpu) metrics.useGpu(program.gpu);
  logger.info({ engine_bytes: program.peakBytes, numerics: fingerprintLine(program.fingerprint) }, 'the model is compiled');
  const load = () => startingPoint(context, program, interruption.signal);
  const from = await inSpan('load starting point', { parent: context.span }, load);
  // Evaluations that an earlier attempt requested and whose results are not in the log.
  if (evaluations) for (const checkpoint of claimed.view.unevaluated) evaluations.begin(checkpoint);
  logger.info({ step: from.step, total_steps: totalSteps, attempt: claimed.view.run.attempt }, 'training');
  if (from.step < totalSteps || context.inheritance !== undefined) await train(context, parts, from);
  await waiting.during(() => 'waits until its last checkpoint is in the store', checkpoints.drain());
  const settled = evaluations?.settle(evaluationWaitMs, interruption.signal);
  if (settled !== undefined) await waiting.during(() => waitsForEvaluations(evaluations?.pending ?? []), settled);
  return { kind: 'trained', note: noteOn(context) };
}

function noteOn(context: AttemptContext): string {
  return [noteOnEvaluations(context), noteOnMeasurements(context.claimed.view.measurements)].filter((note) => note !== '').join('; ');
}

function noteOnEvaluations({ claimed, evaluator, spec }: AttemptContext): string {
  if (evaluator === undefined && !spec.disableEval && spec.evalManifest !== '')
    return 'its checkpoints were not evaluated, because the trainer was started without --evaluator';
  const { evaluationsSucceeded, evaluationsFailed, evaluationFailure } = claimed.view.run;
  if (evaluationsFailed === 0) return '';
  return `${evaluationsFailed} of ${evaluationsSucceeded + evaluationsFailed} evaluations failed, the last one because: ${evaluationFailure}`;
}

function waitsForEvaluations(pending: readonly string[]): string {
  return `waits for the evaluator, which has not evaluated ${pending.slice(0, 3).join(', ')}${pending.length > 3 ? ` and ${pending.length - 3} more` : ''}`;
}
