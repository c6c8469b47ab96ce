/**
 * How far fp32 may be from the exact result of a program, measured on the case itself. Sums whose terms cancel and branches scaled by
 * 1/(1 − p) lose digits, by how many depends on the weights and masks: a constant is either too tight for some draws or blind in most.
 */
import type { MicroBatch, StepRandomness } from '#engine/executable.js';
import type { ProgramSpec } from '#engine/native/program-spec.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { type Check, largestDifference } from './checks.js';
import { type Float64Result, runFloat64 } from './float64-program.js';
import { norm } from './golden-model.js';

/** Largest relative error of one rounding to fp32. */
const ROUNDING = 2 ** -24;
const DISTURBED_RUNS = 8;

/**
 * Executors round inside their kernels too, once a term of a sum; the disturbed machine rounds what kernels store. In 5000 cases (native and
 * TensorFlow.js, 41 000 gradients) the difference was 1.0 of one standard deviation in the middle, 5 at the 999th of a thousand, 9.3 at most.
 */
const ALLOWED_DEVIATIONS = 32;

/** fp32 flushes what is smaller than 2^-126 to zero; this much stays of it behind factors. */
const FLUSHED = 2 ** -100;

export interface ExactRun {
  exact: Float64Result;
  /** Root mean squares of the L2 norm of what random roundings change. */
  deviation: { logits: number; losses: number; gradients: number[] };
}

/** The program in float64, and in float64 with every value that a kernel reads or stores off by at most one rounding to fp32. */
export function runWithRoundings(
  spec: ProgramSpec,
  parameters: readonly ArrayLike<number>[],
  micro: readonly MicroBatch[],
  random?: StepRandomness,
  lossScale = 1,
): ExactRun {
  const exact = runFloat64(spec, parameters, micro, random, lossScale);
  const draws = new PhiloxDraws(purposeKey(random?.seed ?? 0n, 'roundings'));
  let next = 0;
  const disturb = (values: Float64Array) => {
    for (let i = 0; i < values.length; i++) values[i]! *= 1 + ROUNDING * (2 * draws.uniform(next++) - 1);
  };
  const runs = Array.from({ length: DISTURBED_RUNS }, () => {
    const disturbed = parameters.map((values) => Float64Array.from(values));
    disturbed.forEach(disturb);
    return runFloat64(spec, disturbed, micro, random, lossScale, disturb);
  });
  const spread = (of: (run: Float64Result) => Float64Array) =>
    Math.sqrt(runs.reduce((sum, run) => sum + distance(of(run), of(exact)) ** 2, 0) / DISTURBED_RUNS);
  return {
    exact,
    deviation: {
      logits: spread(({ logits }) => logits),
      losses: spread(({ losses }) => losses),
      gradients: exact.gradients.map((_, k) => spread(({ gradients }) => gradients[k]!)),
    },
  };
}

/** Whether fp32 results are the exact ones, but for roundings. Parameters are named for the message of a failure. */
export function roundingChecks(
  { exact, deviation }: ExactRun,
  actual: { logits?: ArrayLike<number>; losses?: ArrayLike<number>; gradients?: readonly ArrayLike<number>[] },
  parameters: readonly string[],
): Check[] {
  const check = (what: string, values: ArrayLike<number>, expected: Float64Array, standard: number): Check => ({
    what,
    error: values.length === expected.length ? distance(values, expected) : Number.NaN,
    tolerance: ALLOWED_DEVIATIONS * standard + FLUSHED,
    note: `of a norm of ${norm(expected)}; ${largestDifference('', values, expected, 0).note}`,
  });
  return [
    ...(actual.logits ? [check('logits', actual.logits, exact.logits, deviation.logits)] : []),
    ...(actual.losses ? [check('losses', actual.losses, exact.losses, deviation.losses)] : []),
    ...(actual.gradients ?? []).map((values, k) =>
      check(`gradient of ${parameters[k]}`, values, exact.gradients[k]!, deviation.gradients[k]!),
    ),
  ];
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return norm(Float64Array.from(a, (value, i) => value - b[i]!));
}
