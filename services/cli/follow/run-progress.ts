/** Computes the progress that is shown to users from a run's events, with a pure fold. */
import {
  type CheckpointSkippedRecord,
  type CutoffMeasuredRecord,
  type EvaluationRecord,
  type RunEvent,
  RunState,
  type StepMetrics,
} from '#protocol/dropstream/v1/trainer.js';
import { engines } from '#spec/words.js';
import { StepMeans } from './step-means.js';

export interface EpochLine {
  readonly epoch: number;
  readonly loss: number;
  readonly lr: number;
  readonly dropRate: number;
  readonly imagesPerSecond: number;
  readonly seconds: number;
}

export interface EvaluationLine {
  readonly step: bigint;
  /** Absent if the evaluation failed. */
  readonly scores: { readonly top1: number; readonly top5: number; readonly loss: number } | undefined;
  /** Why there are no scores; empty otherwise. */
  readonly failure: string;
  readonly name: string;
}

export interface RunProgress {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
  /** Whether checkpoints are evaluated. */
  readonly evaluated: boolean;
  /** Images in an optimizer step. */
  readonly imagesPerStep: number;
  /** Optimizer steps done; steps that a resume discarded do not count. */
  step: number;
  /** Steps of the newest record whose gradient overflowed (precision f16). */
  overflowed: readonly StepMetrics[];
  last: StepMetrics | undefined;
  /** Moving average of the loss over recent steps. */
  loss: number | undefined;
  /** Losses of all steps. */
  readonly losses: StepMeans;
  imagesPerSecond: number | undefined;
  attempt: number;
  state: RunState;
  reason: string;
  /** Engine that the worker chose, and why; empty if the spec names the engine. */
  engine: string;
  /** What the run waits for; empty if it goes on. */
  status: string;
  /** The newest checkpoint that could not be loaded. */
  skipped: CheckpointSkippedRecord | undefined;
  /** The newest measurement of an adaptive cutoff. */
  cutoff: CutoffMeasuredRecord | undefined;
  readonly epochs: Map<number, EpochLine>;
  readonly evaluations: EvaluationLine[];
  sequence: bigint;
}

export function beginProgress(run: {
  totalSteps: bigint;
  stepsPerEpoch: bigint;
  imagesPerStep: number;
  evaluated?: boolean;
  state?: RunState;
}): RunProgress {
  return {
    totalSteps: Number(run.totalSteps),
    stepsPerEpoch: Number(run.stepsPerEpoch),
    imagesPerStep: run.imagesPerStep,
    evaluated: run.evaluated ?? false,
    step: 0,
    overflowed: [],
    last: undefined,
    loss: undefined,
    losses: new StepMeans(),
    imagesPerSecond: undefined,
    attempt: 0,
    state: run.state ?? RunState.QUEUED,
    reason: '',
    engine: '',
    status: '',
    skipped: undefined,
    cutoff: undefined,
    epochs: new Map(),
    evaluations: [],
    sequence: 0n,
  };
}

/** Weight of a new step in the moving averages of loss and speed, which cover about 30 steps. */
const SMOOTHING = 1 / 30;

/** Applies one event. A resume discards the steps after its checkpoint. */
export function takeEvent(progress: RunProgress, event: RunEvent): void {
  progress.sequence = event.sequence;
  const e = event.event;
  switch (e?.$case) {
    case 'claimed':
      progress.attempt = e.value.attempt;
      progress.state = RunState.RUNNING;
      progress.status = '';
      progress.engine = e.value.engineReason && `${engines.wordOf(e.value.engine)}: ${e.value.engineReason}`;
      break;
    case 'resumed':
      progress.step = Number(e.value.fromStep);
      progress.losses.truncate(progress.step);
      progress.attempt = e.value.attempt;
      progress.imagesPerSecond = undefined;
      break;
    case 'steps':
      for (const step of e.value.steps) takeStep(progress, step);
      progress.overflowed = e.value.steps.filter(({ skipped }) => skipped);
      break;
    case 'epoch':
      progress.epochs.set(e.value.epoch, {
        epoch: e.value.epoch,
        loss: e.value.trainLoss,
        lr: e.value.trainLr,
        dropRate: e.value.trainDropRate,
        imagesPerSecond: e.value.imagesPerSecond,
        seconds: e.value.seconds,
      });
      break;
    case 'evaluation':
      progress.evaluations.push({
        step: e.value.step,
        scores: e.value.result?.weights,
        failure: failureOf(e.value),
        name: e.value.evaluation,
      });
      break;
    case 'cutoffMeasured':
      progress.cutoff = e.value;
      break;
    case 'checkpointSkipped':
      progress.skipped = e.value;
      break;
    case 'created':
    case 'state':
      progress.state = e.value.state;
      progress.reason = e.value.reason;
      progress.status = '';
      break;
    case 'status':
      progress.status = e.value.message;
      break;
  }
}

function takeStep(progress: RunProgress, step: StepMetrics): void {
  const speed = progress.imagesPerStep / Math.max(1e-9, step.stepSeconds);
  const blend = (before: number | undefined, now: number) => (before === undefined ? now : before + (now - before) * SMOOTHING);
  progress.loss = blend(progress.loss, step.loss);
  progress.losses.push(Number(step.step), step.loss);
  // Seconds are averaged instead of speeds, so that a slow step counts with the time that it took.
  progress.imagesPerSecond = progress.imagesPerSecond === undefined ? speed : 1 / blend(1 / progress.imagesPerSecond, 1 / speed);
  progress.last = step;
  progress.step = Number(step.step) + 1;
}

/** Seconds until the last step at the current speed; undefined before the first step. */
export function secondsLeft(progress: RunProgress): number | undefined {
  if (progress.imagesPerSecond === undefined) return undefined;
  return ((progress.totalSteps - progress.step) * progress.imagesPerStep) / progress.imagesPerSecond;
}

/** The newest evaluation of a checkpoint after an epoch (from 0); if there is one with scores, the newest one of those. */
export function evaluationOf(progress: RunProgress, epoch: number): EvaluationLine | undefined {
  const found = progress.evaluations.filter((e) => Number(e.step) === (epoch + 1) * progress.stepsPerEpoch);
  return found.findLast(({ scores }) => scores !== undefined) ?? found.at(-1);
}

/** Why an evaluation has no scores; empty if it has them. */
export function failureOf({ result, failure }: Pick<EvaluationRecord, 'result' | 'failure'>): string {
  return result?.weights === undefined ? failure || 'it ended without a result' : '';
}
