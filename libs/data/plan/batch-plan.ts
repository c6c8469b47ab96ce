/** The plan of one batch: its samples, and the operations on each. A pure function of (plan, manifest, epoch, index). */
import type { PhiloxKey } from '#random/philox.js';
import { purposeKey } from '#random/philox.js';
import type { Manifest } from '../manifest/manifest.js';
import { Draws } from './augment/draws.js';
import { mixKey, planMix, type SlotMix } from './augment/mix-plan.js';
import { planSample, type SampleKeys, type SamplePlan, sampleKeys } from './augment/sample-plan.js';
import { blockPermutation } from './block-order.js';
import {
  batchesPerEpoch,
  batchSlots,
  epochPermutation,
  firstPosition,
  isShuffled,
  type Permutation,
  subsetSample,
  subsetSize,
} from './order.js';
import type { Plan } from './plan.js';

export interface PlannedSample {
  /** Index in the manifest. */
  readonly sample: number;
  /** Position in the epoch, counted over all ranks. */
  readonly position: number;
  readonly label: number;
  readonly plan: SamplePlan;
  /** True if the sample only fills its batch up. */
  readonly padding: boolean;
}

export interface BatchPlan {
  readonly epoch: number;
  readonly index: number;
  readonly firstPosition: number;
  readonly samples: readonly PlannedSample[];
  /** One entry for each slot; null if it is not mixed. */
  readonly mix: readonly (SlotMix | null)[];
}

/** Number of replacements tried for an image that cannot be decoded, before the batch fails. */
export const MAX_REPLACEMENTS = 8;

/** Makes the batch plans of one plan. Caches the keys and the last epoch's permutation. */
export class BatchPlanner {
  /** Number of samples that take part in an epoch. */
  readonly samples: number;
  readonly batchesPerEpoch: number;
  readonly #sampleKeys: SampleKeys;
  readonly #mixKey: PhiloxKey;
  readonly #replacementKey: PhiloxKey;
  #permutation: { readonly epoch: number; readonly at: Permutation } | undefined;

  /** The plan must fit the manifest: see checkPlanFits. */
  constructor(
    readonly plan: Plan,
    readonly manifest: Manifest,
  ) {
    this.samples = subsetSize(manifest.samples, plan.subset);
    this.batchesPerEpoch = batchesPerEpoch(this.samples, plan);
    this.#sampleKeys = sampleKeys(plan.seed);
    this.#mixKey = mixKey(plan.seed);
    this.#replacementKey = purposeKey(plan.seed, 'replacement');
  }

  /** Number of samples that an epoch has over all ranks, without those that are left out at its end and without padding. */
  get epochSamples(): number {
    const { order, batchSize, worldSize } = this.plan;
    return isShuffled(order) ? this.batchesPerEpoch * batchSize * worldSize : this.samples;
  }

  /** `index` must be below batchesPerEpoch. */
  batch(epoch: number, index: number): BatchPlan {
    const { plan } = this;
    if (!(index >= 0 && index < this.batchesPerEpoch)) throw new RangeError(`batch ${index} of an epoch of ${this.batchesPerEpoch}`);
    const first = firstPosition(index, plan);
    const slots = batchSlots(this.samples, index, plan);
    const samples = Array.from({ length: slots }, (_, slot) => this.#planned(epoch, first + slot, this.sampleAt(epoch, first + slot), 0));
    const mix = plan.mix
      ? planMix(plan.mix, this.#mixKey, epoch, first, slots, plan.transform.inputSize)
      : new Array<null>(slots).fill(null);
    return { epoch, index, firstPosition: first, samples, mix };
  }

  /** The manifest's index of the sample at a position of an epoch. */
  sampleAt(epoch: number, position: number): number {
    const { plan } = this;
    if (!isShuffled(plan.order)) return subsetSample(position % this.samples, plan.subset);
    if (this.#permutation?.epoch !== epoch) this.#permutation = { epoch, at: this.#orderOf(epoch) };
    return subsetSample(this.#permutation.at(position), plan.subset);
  }

  /**
   * The replacement for a position whose sample and first `attempt − 1` replacements cannot be decoded. `attempt` counts from 1. Drawn from the
   * samples of the plan.
   */
  replacement(epoch: number, position: number, attempt: number): PlannedSample {
    const draws = new Draws(this.#replacementKey, epoch, position, attempt);
    const index = Math.min(this.samples - 1, Math.floor(draws.unit() * this.samples));
    return this.#planned(epoch, position, subsetSample(index, this.plan.subset), attempt);
  }

  #orderOf(epoch: number): Permutation {
    const { manifest, subset, seed, blocks } = this.plan;
    return blocks
      ? blockPermutation(manifest, subset, seed, epoch, this.samples, blocks)
      : epochPermutation(manifest, subset, seed, epoch, this.samples);
  }

  #planned(epoch: number, position: number, sample: number, attempt: number): PlannedSample {
    const { manifest, plan } = this;
    const [width, height] = [manifest.widths[sample] as number, manifest.heights[sample] as number];
    return {
      sample,
      position,
      label: manifest.labels[sample] as number,
      plan: planSample(plan.transform, this.#sampleKeys, { epoch, position, attempt }, width, height),
      padding: position >= this.samples,
    };
  }
}
