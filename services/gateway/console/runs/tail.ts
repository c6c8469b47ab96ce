/** What the table shows of a run besides the run itself: the curve of its loss, and the top-1 of its checkpoints. */
import type { Evaluation } from '#protocol/dropstream/v1/evaluator.js';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { isOfRun } from '../history/own-evaluations.js';
import { smooth } from '../series/smooth.js';

/** Points of a small curve. Twice as many are asked for, because thinned ones are the extremes of ranges. */
const POINTS = 60;
/** Weight of what came before. */
const SMOOTHING = 0.8;

/** The smoothed loss from the first step to the newest one. */
export async function readLoss(name: string, signal: AbortSignal): Promise<number[]> {
  const { series = [] } = await call(
    'TrainerService/GetRunSeries',
    { name, metrics: ['STEP_METRIC_LOSS'], points: 2 * POINTS },
    { signal },
  );
  return [...smooth((series[0]?.values ?? []).map(num), SMOOTHING)].filter(Number.isFinite);
}

/** What is kept of an evaluation. */
export interface Score {
  readonly of: Pick<Json<Evaluation>, 'spec' | 'createTime'>;
  readonly step: number;
  readonly top1: number;
}

/** Adds the scores of weights to those of each run, by its name. */
export function addScores(byRun: Map<string, Score[]>, evaluations: readonly Json<Evaluation>[]): void {
  for (const { spec, createTime, result } of evaluations) {
    const weights = result?.weights;
    const name = spec?.checkpoint?.split('/').slice(0, 4).join('/');
    if (weights === undefined || name === undefined) continue;
    // A top-1 of 0 is absent in JSON.
    const score = { of: { spec, createTime }, step: num(result?.step), top1: num(weights.top1) };
    const known = byRun.get(name);
    if (known === undefined) byRun.set(name, [score]);
    else known.push(score);
  }
}

/** The top-1 of a run's weights, in the order of steps. */
export const top1Of = (run: Json<Run>, scores: readonly Score[]): number[] =>
  scores
    .filter((score) => isOfRun(score.of, run))
    .sort((a, b) => a.step - b.step)
    .map(({ top1 }) => top1);

export interface Pace {
  readonly step: number;
  readonly atMs: number;
  /** Undefined until the run was seen twice at work. */
  readonly secondsPerStep: number | undefined;
}

/** Weight of the newest look in the pace. */
const NEWEST = 0.3;

/** How fast a run is, from two looks at its step. A resume, which goes back, begins anew. */
export function paceOf(before: Pace | undefined, step: number, atMs: number): Pace {
  if (before === undefined || step < before.step) return { step, atMs, secondsPerStep: undefined };
  if (step === before.step) return before;
  const seconds = (atMs - before.atMs) / 1000 / (step - before.step);
  const { secondsPerStep } = before;
  return { step, atMs, secondsPerStep: secondsPerStep === undefined ? seconds : secondsPerStep + NEWEST * (seconds - secondsPerStep) };
}
