/** Derives the plans of batches from a run spec. */
import { type MixSpec, type Plan, SampleOrder, type TransformSpec } from '#protocol/dropstream/v1/data.js';
import { maxEvaluationBatch } from '#spec/limits.js';
import type { ResolvedSpec } from './run-spec.js';

/** The plan of the training: shuffled by the run's seed, augmented, mixed, without the held-out samples. */
export function trainingPlan(spec: ResolvedSpec): Plan {
  const transform: TransformSpec = {
    inputSize: spec.inputSize,
    training: true,
    colorJitter: spec.colorJitter,
    aa: spec.aa,
    trainInterpolation: spec.trainInterpolation,
    cropPct: undefined,
    reprob: spec.reprob,
    remode: spec.remode,
    recount: spec.recount,
    imagenetDefaultMeanAndStd: spec.imagenetDefaultMeanAndStd,
    cropPadding: spec.cropPadding,
    hflip: spec.hflip,
  };
  const mix: MixSpec = {
    mixup: spec.mixup,
    cutmix: spec.cutmix,
    cutmixMinmax: spec.cutmixMinmax,
    mixupProb: spec.mixupProb,
    mixupSwitchProb: spec.mixupSwitchProb,
    mixupMode: spec.mixupMode,
    smoothing: spec.smoothing,
  };
  return {
    dataset: { manifest: spec.trainManifest },
    seed: spec.seed,
    batchSize: spec.batchSize,
    rank: 0,
    worldSize: 1,
    order: SampleOrder.SHUFFLED,
    transform,
    mix,
    pixelSemantics: 0,
    subsetStride: spec.holdoutStride,
    subsetOffset: spec.holdoutStride === 0 ? 0 : spec.holdoutOffset,
    subsetInvert: spec.holdoutStride > 0,
  };
}

/** A plan that tells whether the evaluation data fits the spec; the evaluator chooses order and batch size itself. */
export function evaluationPlan(spec: ResolvedSpec): Plan {
  const training = trainingPlan(spec);
  const transform: TransformSpec = { inputSize: spec.inputSize, training: false, cropPct: spec.cropPct };
  return {
    ...training,
    dataset: { manifest: spec.evalManifest },
    order: SampleOrder.SEQUENTIAL,
    transform,
    mix: undefined,
    subsetStride: 0,
    subsetOffset: 0,
    subsetInvert: false,
  };
}

/** Images in a mini-batch whose gradient is measured for the adaptive cutoff: those of an optimizer step, as far as the evaluator takes them. */
export const measuredBatch = ({ batchSize, updateFreq }: ResolvedSpec): number => Math.min(maxEvaluationBatch, batchSize * updateFreq);

/** A plan that tells whether the data service can hold such a mini-batch. */
export function measurementPlan(spec: ResolvedSpec): Plan {
  return { ...evaluationPlan({ ...spec, evalManifest: spec.trainManifest }), batchSize: measuredBatch(spec) };
}

/** True if a run's checkpoints are evaluated on the samples that its training holds out. */
export function evaluatesHeldOut(spec: ResolvedSpec): boolean {
  return spec.holdoutStride > 0 && spec.evalManifest === spec.trainManifest;
}

/** Prepared micro-batches beyond those of one step, at most so many bytes. */
const aheadBytes = 512 << 20;

/** How many micro-batches are prepared or in use at the same time: those of the step under way, and of the next one as far as the bytes allow. */
export function preparedBatches({ updateFreq, batchSize, inputSize }: ResolvedSpec): number {
  const bytes = batchSize * 3 * inputSize * inputSize * 4;
  return updateFreq + Math.max(1, Math.min(updateFreq, Math.floor(aheadBytes / bytes)));
}

/** Maps fields of a plan to the options of the spec that they come from, if their names differ. */
const optionOfPlanField: Readonly<Record<string, string>> = { 'dataset.manifest': 'train_manifest', subset_offset: 'holdout_offset' };

/** Translates the field of a plan's violation to that of the spec: `plan.transform.aa` → `spec.aa`. */
export function specField(planField: string): string {
  const field = planField.replace(/^plan\./, '');
  return `spec.${optionOfPlanField[field] ?? field.replace(/^(transform|mix)\./, '')}`;
}
