/**
 * Plans mixup and cutmix of one batch (recipe §6). For each slot, a plan holds λ, the partner and the pasted box. The partner of slot i is slot B − 1
 * − i. Draws are keyed by the epoch and a position: that of the batch's first slot (mode batch), of the pair's first slot (pair), or of the slot
 * itself (elem).
 */

import type { Violations } from '#errors/errors.js';
import type { MixupMode } from '#protocol/dropstream/v1/data.js';
import { type PhiloxKey, purposeKey } from '#random/philox.js';
import { mixupModes } from '#spec/words.js';
import { drawBeta } from './beta.js';
import { Draws } from './draws.js';

export type MixMode = (typeof mixupModes.words)[number];

/** The resolved form of the proto's MixSpec. */
export interface Mix {
  /** Beta parameter of mixup; 0 turns it off. */
  readonly mixup: number;
  /** Beta parameter of cutmix; 0 turns it off. */
  readonly cutmix: number;
  /** Smallest and largest side of the box, as fractions of the image's side. Setting it turns cutmix on. */
  readonly minmax: readonly [number, number] | undefined;
  readonly probability: number;
  /** Probability of cutmix when both are on. */
  readonly switchProbability: number;
  readonly mode: MixMode;
  /** Label smoothing. */
  readonly smoothing: number;
}

/** The fields of the proto's MixSpec; an absent field has its default. */
export interface MixOptions {
  readonly mixup?: number | undefined;
  readonly cutmix?: number | undefined;
  readonly cutmixMinmax: readonly number[];
  readonly mixupProb?: number | undefined;
  readonly mixupSwitchProb?: number | undefined;
  readonly mixupMode?: MixupMode | undefined;
  readonly smoothing?: number | undefined;
}

/** A box in pixels: rows top to top + height − 1, columns left to left + width − 1. */
export interface MixBox {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** How a slot is mixed with its partner's image, which has been erased before. */
export interface SlotMix {
  /** Weight of the slot's own image, a float32 value. */
  readonly lambda: number;
  readonly partner: number;
  /** The box that is pasted from the partner; null for a weighted sum of both images. */
  readonly box: MixBox | null;
}

const MAX_ALPHA = 1e6;

/** Fills in defaults. Adds invalid fields to `violations`; then the result must not be used. */
export function resolveMix(options: MixOptions, inputSize: number, violations: Violations, prefix = ''): Mix {
  const mixup = options.mixup ?? 0.8;
  const given = options.cutmixMinmax;
  const minmax = given.length === 2 ? ([given[0] as number, given[1] as number] as const) : undefined;
  // With `minmax`, λ only decides whether there is a box at all; the reference then draws it from Beta(1, 1).
  const cutmix = minmax ? 1 : (options.cutmix ?? 1);
  const [probability, switchProbability, smoothing] = [options.mixupProb ?? 1, options.mixupSwitchProb ?? 0.5, options.smoothing ?? 0.1];
  const alpha = (value: number) => value === 0 || (value >= 1e-3 && value <= MAX_ALPHA);
  const share = (value: number) => value >= 0 && value <= 1;
  violations.check(alpha(mixup), `${prefix}mixup`, mixup, `0, or from 0.001 to ${MAX_ALPHA}`);
  violations.check(alpha(cutmix), `${prefix}cutmix`, cutmix, `0, or from 0.001 to ${MAX_ALPHA}`);
  const ordered = given.length === 0 || (minmax && share(minmax[0]) && share(minmax[1]) && minmax[0] < minmax[1]);
  if (
    violations.check(Boolean(ordered), `${prefix}cutmix_minmax`, given.join(', '), 'empty, or two numbers 0 <= min < max <= 1') &&
    minmax
  ) {
    const [low, high] = [Math.floor(inputSize * minmax[0]), Math.floor(inputSize * minmax[1])];
    violations.check(low < high, `${prefix}cutmix_minmax`, given.join(', '), `at least one pixel apart at input_size ${inputSize}`);
  }
  violations.check(share(probability), `${prefix}mixup_prob`, probability, 'from 0 to 1');
  violations.check(share(switchProbability), `${prefix}mixup_switch_prob`, switchProbability, 'from 0 to 1');
  const mode = mixupModes.read(violations, `${prefix}mixup_mode`, options.mixupMode);
  violations.check(smoothing >= 0 && smoothing < 1, `${prefix}smoothing`, smoothing, 'at least 0 and below 1');
  return { mixup, cutmix, minmax, probability, switchProbability, mode, smoothing };
}

/** True if images are mixed. Targets may be smoothed even if this is false. */
export const mixes = (mix: Mix | undefined): mix is Mix => mix !== undefined && (mix.mixup > 0 || mix.cutmix > 0) && mix.probability > 0;

export const mixKey = (seed: bigint): PhiloxKey => purposeKey(seed, 'mix');

/**
 * Plans for all slots of a batch; null means that the slot is not mixed. `slots` must be even, `first` is the position of slot 0, and `size` is the
 * image's side in pixels.
 */
export function planMix(mix: Mix, key: PhiloxKey, epoch: number, first: number, slots: number, size: number): (SlotMix | null)[] {
  if (!mixes(mix)) return new Array<null>(slots).fill(null);
  if (slots % 2 !== 0) throw new RangeError(`a batch of ${slots} cannot be mixed: the number of samples must be even`);
  const draw = (position: number) => {
    const draws = new Draws(key, epoch, position);
    return drawMix(mix, draws, size);
  };
  const whole = mix.mode === 'batch' ? draw(first) : undefined;
  return Array.from({ length: slots }, (_, slot) => {
    const partner = slots - 1 - slot;
    const drawn = whole ?? draw(first + (mix.mode === 'pair' ? Math.min(slot, partner) : slot));
    return slotMix(drawn, partner, size, size);
  });
}

/** The random values of one batch, pair or element. */
export interface DrawnMix {
  /** Drawn from the Beta distribution; 1 if nothing is mixed. */
  readonly lambda: number;
  readonly cutmix: boolean;
  /** Centre of the cutmix box if its size follows from λ. */
  readonly centre: { readonly y: number; readonly x: number };
  /** The cutmix box if its size is drawn from `minmax`. */
  readonly range?: MixBox | undefined;
}

export function drawMix(mix: Mix, draws: Draws, size: number): DrawnMix {
  const mixed = draws.chance(mix.probability);
  const cutmix = mix.mixup > 0 && mix.cutmix > 0 ? draws.chance(mix.switchProbability) : mix.cutmix > 0;
  const lambda = mixed ? drawBeta(draws, cutmix ? mix.cutmix : mix.mixup) : 1;
  const centre = { y: draws.below(size), x: draws.below(size) };
  if (!mix.minmax || !cutmix) return { lambda, cutmix, centre };
  const [low, high] = mix.minmax.map((share) => Math.floor(size * share)) as [number, number];
  const [height, width] = [draws.integer(low, high - 1), draws.integer(low, high - 1)];
  // The upper end of the reference's randint is exclusive, so a box never touches the last row or column.
  return { lambda, cutmix, centre, range: { top: draws.below(size - height), left: draws.below(size - width), height, width } };
}

/** Applies a draw to a slot of height × width pixels: computes the box, and corrects λ to the area that is really kept. */
export function slotMix(drawn: DrawnMix, partner: number, height: number, width: number): SlotMix | null {
  if (drawn.lambda === 1) return null;
  if (!drawn.cutmix) {
    const lambda = Math.fround(drawn.lambda);
    return lambda === 1 ? null : { lambda, partner, box: null };
  }
  const box = drawn.range ?? boxByLambda(drawn.lambda, drawn.centre, height, width);
  const area = box.height * box.width;
  return area === 0 ? null : { lambda: Math.fround(1 - area / (height * width)), partner, box };
}

/** A box of int(side · √(1 − λ)) pixels on each axis around the centre, clipped to the image. It may be empty. */
export function boxByLambda(lambda: number, { y, x }: { y: number; x: number }, height: number, width: number): MixBox {
  const ratio = Math.sqrt(1 - lambda);
  const [top, bottom] = span(y, Math.floor(height * ratio), height);
  const [left, right] = span(x, Math.floor(width * ratio), width);
  return { top, left, height: bottom - top, width: right - left };
}

function span(centre: number, cut: number, side: number): [number, number] {
  const half = Math.floor(cut / 2);
  return [Math.max(0, centre - half), Math.min(side, centre + half)];
}

/**
 * Soft targets [slots, classes]: λ · smoothed(own label) + (1 − λ) · smoothed(partner's label). For smoothing s, `smoothed` is 1 − s + s / classes at
 * the label and s / classes elsewhere.
 */
export function softTargets(labels: ArrayLike<number>, mix: readonly (SlotMix | null)[], classes: number, smoothing: number): Float32Array {
  const off = smoothing / classes;
  const on = 1 - smoothing + off;
  const targets = new Float32Array(labels.length * classes);
  for (let slot = 0; slot < labels.length; slot++) {
    const { lambda = 1, partner = slot } = mix[slot] ?? {};
    const [own, other] = [labels[slot] as number, labels[partner] as number];
    const row = targets.subarray(slot * classes, (slot + 1) * classes);
    row.fill(off);
    if (own === other) row[own] = on;
    else {
      row[own] = lambda * on + (1 - lambda) * off;
      row[other] = lambda * off + (1 - lambda) * on;
    }
  }
  return targets;
}
