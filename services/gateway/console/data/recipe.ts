/** The recipe of augmentation while one tries it: the values of the sliders, and the plan that they make. */
import type { Plan } from '#protocol/dropstream/v1/data.js';
import type { Json } from '../api/json.js';

export interface Recipe {
  readonly training: boolean;
  readonly inputSize: number;
  readonly seed: number;
  readonly epoch: number;
  readonly index: number;
  /** Strength of RandAugment, 0: off. */
  readonly randAugment: number;
  readonly colorJitter: number;
  readonly hflip: number;
  readonly reprob: number;
  readonly mixup: number;
  readonly cutmix: number;
  readonly mixupProb: number;
}

export const firstRecipe: Recipe = {
  training: true,
  inputSize: 64,
  seed: 0,
  epoch: 0,
  index: 0,
  randAugment: 9,
  colorJitter: 0.4,
  hflip: 0.5,
  reprob: 0.25,
  mixup: 0.8,
  cutmix: 1,
  mixupProb: 1,
};

/** Images of a batch. It is even, because mixed images have partners. */
export const SHOWN = 16;

export function planOf(recipe: Recipe, sha256: string): Json<Plan> {
  const { training, inputSize, seed, randAugment, colorJitter, hflip, reprob, mixup, cutmix, mixupProb } = recipe;
  const mixed = training && (mixup > 0 || cutmix > 0);
  return {
    dataset: { manifest: sha256 },
    seed: String(seed),
    batchSize: SHOWN,
    transform: {
      inputSize,
      training,
      aa: randAugment === 0 ? '' : `rand-m${randAugment}-mstd0.5-inc1`,
      colorJitter,
      hflip,
      reprob,
    },
    ...(mixed && { mix: { mixup, cutmix, mixupProb } }),
  };
}
