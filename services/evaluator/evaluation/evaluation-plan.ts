/** The plan of an evaluation: every sample once, in order; the last batch may be smaller. */
import { type Plan, SampleOrder } from '#protocol/dropstream/v1/data.js';
import type { EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';

/** @param spec resolved. @param run spec of the checkpoint's run. @param inputSize height and width in pixels */
export function evaluationPlan(spec: EvaluationSpec, run: RunSpec, inputSize: number): Plan {
  return {
    dataset: { manifest: spec.manifest },
    seed: 0n,
    batchSize: spec.batchSize as number,
    rank: 0,
    worldSize: 1,
    order: SampleOrder.SEQUENTIAL,
    transform: {
      inputSize,
      training: false,
      colorJitter: undefined,
      aa: undefined,
      trainInterpolation: undefined,
      cropPct: spec.cropPct,
      reprob: undefined,
      remode: undefined,
      recount: undefined,
      imagenetDefaultMeanAndStd: run.imagenetDefaultMeanAndStd,
      cropPadding: undefined,
      hflip: undefined,
    },
    mix: undefined,
    pixelSemantics: 0,
    subsetStride: spec.subsetStride ?? 0,
    subsetOffset: spec.subsetOffset ?? 0,
    subsetInvert: spec.subsetInvert ?? false,
  };
}

/** The plan of the mini-batches whose gradients are measured: the same samples, in the shuffled order of a training with this seed. */
export function miniBatchPlan(spec: EvaluationSpec, run: RunSpec, inputSize: number): Plan {
  return { ...evaluationPlan(spec, run, inputSize), order: SampleOrder.SHUFFLED, seed: spec.gradientStatistics?.seed ?? 0n };
}
