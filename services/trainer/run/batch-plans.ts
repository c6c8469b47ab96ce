/** The batches that a run spec asks the data service for. */
import { type MixSpec, type Plan, SampleOrder, type TransformSpec } from '#protocol/dropstream/v1/data.js';
import type { ResolvedSpec } from './run-spec.js';

/** The training plan: shuffled by the run's seed, augmented, mixed, without the held-out samples. */
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

/** The plan of an evaluation, as far as whether the data fits it: order and batch are the evaluator's own. */
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

/** True where a run's checkpoints are scored on the samples that its training left out. */
export function evaluatesHeldOut(spec: ResolvedSpec): boolean {
  return spec.holdoutStride > 0 && spec.evalManifest === spec.trainManifest;
}

/** Fields of a plan that a violation may name, by the option of the spec that they come from. */
const optionOfPlanField: Readonly<Record<string, string>> = { 'dataset.manifest': 'train_manifest', subset_offset: 'holdout_offset' };

/** `plan.transform.aa` → `spec.aa`: violations of a plan, in the words of the spec it was made from. */
export function specField(planField: string): string {
  const field = planField.replace(/^plan\./, '');
  return `spec.${optionOfPlanField[field] ?? field.replace(/^(transform|mix)\./, '')}`;
}
