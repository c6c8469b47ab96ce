/** The part of an evaluation's spec that says which gradients are measured. */
import type { Violations } from '#errors/errors.js';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import type { EvaluationSpec, GradientStatisticsSpec } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';

const maxBatches = 10_000;

/** With the defaults of the run. Adds what is wrong to `violations`. */
export function gradientSpecOf(violations: Violations, given: GradientStatisticsSpec, run: RunSpec): GradientStatisticsSpec {
  const { batches } = given;
  violations.check(batches >= 2 && batches <= maxBatches, 'spec.gradient_statistics.batches', batches, `from 2 to ${maxBatches}`);
  const isGiven = given.dropout !== undefined || given.dropPath !== undefined;
  violations.check(
    isGiven || run.schedule === '',
    'spec.gradient_statistics.dropout',
    undefined,
    'given, or drop_path, because the rates of the run are those of a stored schedule',
  );
  const dropout = given.dropout ?? (isGiven ? 0 : (run.dropout ?? 0));
  const dropPath = given.dropPath ?? (isGiven ? 0 : (run.dropPath ?? 0));
  const isRate = (rate: number): boolean => rate >= 0 && rate < 1;
  violations.check(isRate(dropout), 'spec.gradient_statistics.dropout', dropout, 'at least 0 and below 1');
  violations.check(isRate(dropPath), 'spec.gradient_statistics.drop_path', dropPath, 'at least 0 and below 1');
  violations.check(dropout === 0 || dropPath === 0, 'spec.gradient_statistics.drop_path', dropPath, '0 if dropout is above 0');
  return { batches, dropout, dropPath, seed: given.seed ?? run.seed ?? 0n };
}

/** The subset of the request; for gradients on the run's own images, by default those that it trains on. */
export function subsetOf(
  spec: EvaluationSpec,
  run: RunSpec,
): Required<Pick<EvaluationSpec, 'subsetStride' | 'subsetOffset' | 'subsetInvert'>> {
  const trains = spec.gradientStatistics !== undefined && (spec.manifest === '' || spec.manifest === run.trainManifest);
  if (trains && spec.subsetStride === undefined && (run.holdoutStride ?? 0) > 0)
    return { subsetStride: run.holdoutStride ?? 0, subsetOffset: run.holdoutOffset ?? 0, subsetInvert: true };
  return { subsetStride: spec.subsetStride ?? 0, subsetOffset: spec.subsetOffset ?? 0, subsetInvert: spec.subsetInvert ?? false };
}

/** The precision of the run, or fp32 for f16: its gradients vanish without the loss scaling of a training. */
export const gradientPrecision = ({ precision }: Pick<RunSpec, 'precision'>): Precision | undefined =>
  precision === Precision.F16 ? Precision.FP32 : precision;

/** How many samples' gradients are computed: of the whole set, and of the mini-batches with drop and without. */
export function gradientSamples({ batchSize = 0, gradientStatistics }: EvaluationSpec, samples: number): number {
  const { batches = 0, dropout = 0, dropPath = 0 } = gradientStatistics ?? {};
  return samples + (dropout > 0 || dropPath > 0 ? 2 : 1) * batches * batchSize;
}
