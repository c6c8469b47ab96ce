/**
 * RandAugment as in recipe §5: parses `rand-m9-mstd0.5-inc1` and draws the operations of one image. Magnitudes run from 0 to 10; L = magnitude / 10.
 */
import type { Interpolation, PixelOp } from '#native/pixels.js';
import type { Draws } from './draws.js';

export interface RandAugment {
  /** m: mean magnitude. Default 10. */
  readonly magnitude: number;
  /** n: number of operations drawn for each image. Default 2. */
  readonly count: number;
  /** mstd: standard deviation of the magnitude. Default 0. */
  readonly deviation: number;
  /** inc with any value: use the operations whose effect grows with the magnitude. */
  readonly increasing: boolean;
  /** w0: draw without replacement, with the probabilities of `WEIGHTS`. */
  readonly weighted: boolean;
}

type OpName = PixelOp['op'];

/** The 15 operations in the reference's order, with their probabilities under w0. */
const WEIGHTS: readonly (readonly [OpName, number])[] = [
  ['AutoContrast', 0.025],
  ['Equalize', 0.005],
  ['Invert', 0],
  ['Rotate', 0.3],
  ['Posterize', 0],
  ['Solarize', 0.005],
  ['SolarizeAdd', 0.005],
  ['Color', 0.025],
  ['Contrast', 0.005],
  ['Brightness', 0.005],
  ['Sharpness', 0.025],
  ['ShearX', 0.2],
  ['ShearY', 0.2],
  ['TranslateX', 0.1],
  ['TranslateY', 0.1],
];
export const RAND_AUGMENT_OPS: readonly OpName[] = WEIGHTS.map(([op]) => op);

/** Probability with which each drawn operation is applied. */
const APPLY = 0.5;
const MAX_COUNT = 32;
const MAX_WEIGHTED = WEIGHTS.filter(([, weight]) => weight > 0).length;

/** The allowed values of `aa`, for messages. */
const RAND_AUGMENT_FORM = `"" or rand-mM-nN-mstdS-incI (M 0 to 10, N 1 to ${MAX_COUNT}, S >= 0), or rand-mM-nN-w0 without inc`;

export type ParsedAugmentation =
  | { readonly ok: true; readonly value: RandAugment | null }
  | { readonly ok: false; readonly allowed: string };

/** Parses `aa`; '' means none. AutoAugment and AugMix get messages of their own, because the recipe does not define them. */
export function parseRandAugment(text: string): ParsedAugmentation {
  if (text === '') return { ok: true, value: null };
  const refuse = (why: string): ParsedAugmentation => ({ ok: false, allowed: `${RAND_AUGMENT_FORM}; ${why}` });
  const [name, ...sections] = text.split('-');
  if (name === 'augmix') return refuse('AugMix is not supported');
  if (['original', 'originalr', 'v0', 'v0r'].includes(name as string)) return refuse('AutoAugment policies are not supported');
  if (name !== 'rand') return refuse(`${JSON.stringify(name)} is not a policy`);
  let [magnitude, count, deviation] = [10, 2, 0];
  let [increasing, weighted] = [false, false];
  for (const section of sections) {
    const match = /^(mstd|inc|m|n|w)(\d+(?:\.\d+)?)$/.exec(section);
    if (!match) return refuse(`${JSON.stringify(section)} is not a section of a policy`);
    const value = Number(match[2]);
    const key = match[1] as string;
    if (key !== 'mstd' && !Number.isInteger(value)) return refuse(`${key} must be an integer`);
    if (key === 'm') magnitude = value;
    else if (key === 'n') count = value;
    else if (key === 'mstd') deviation = value;
    else if (key === 'inc') increasing = true;
    else if (value === 0) weighted = true;
    else return refuse('w must be 0: w0 is the only set of weights');
  }
  if (magnitude > 10) return refuse('m must be at most 10');
  if (deviation > 100) return refuse('mstd must be at most 100');
  if (count < 1 || count > MAX_COUNT) return refuse(`n must be from 1 to ${MAX_COUNT}`);
  if (weighted && increasing) return refuse('w0 cannot be combined with inc: it has no weights for those operations');
  if (weighted && count > MAX_WEIGHTED) return refuse(`n must be at most ${MAX_WEIGHTED} with w0`);
  return { ok: true, value: { magnitude, count, deviation, increasing, weighted } };
}

/** Draws the operations of one image of `size` × `size` pixels, in the order in which they are applied. */
export function drawRandAugment(draws: Draws, policy: RandAugment, size: number, interpolation: () => Interpolation): PixelOp[] {
  const names = policy.weighted ? drawWeighted(draws, policy.count) : Array.from({ length: policy.count }, () => drawUniform(draws));
  return names.flatMap((name) => {
    if (!draws.chance(APPLY)) return [];
    const magnitude = policy.deviation > 0 ? policy.magnitude + policy.deviation * draws.normal() : policy.magnitude;
    const clipped = Math.min(10, Math.max(0, magnitude));
    return [pixelOp(name, clipped, draws.chance(0.5) ? -1 : 1, policy.increasing, size, interpolation)];
  });
}

const drawUniform = (draws: Draws): OpName => RAND_AUGMENT_OPS[draws.below(RAND_AUGMENT_OPS.length)] as OpName;

function drawWeighted(draws: Draws, count: number): OpName[] {
  const left = WEIGHTS.filter(([, weight]) => weight > 0);
  return Array.from({ length: count }, () => {
    let rest = draws.unit() * left.reduce((sum, [, weight]) => sum + weight, 0);
    let index = 0;
    while (index < left.length - 1 && rest >= (left[index] as readonly [OpName, number])[1]) {
      rest -= (left[index] as readonly [OpName, number])[1];
      index++;
    }
    return (left.splice(index, 1)[0] as readonly [OpName, number])[0];
  });
}

/** One operation at a magnitude in [0, 10]. `sign` is used only where the recipe has ±; `size` is the image's side in pixels. */
export function pixelOp(
  op: OpName,
  magnitude: number,
  sign: 1 | -1,
  increasing: boolean,
  size: number,
  interpolation: () => Interpolation,
): PixelOp {
  const level = magnitude / 10;
  switch (op) {
    case 'AutoContrast':
    case 'Equalize':
    case 'Invert':
      return { op, argument: 0 };
    case 'Posterize':
      return { op, argument: increasing ? 4 - Math.floor(level * 4) : Math.floor(level * 4) };
    case 'Solarize':
      return { op, argument: increasing ? 256 - Math.floor(level * 256) : Math.floor(level * 256) };
    case 'SolarizeAdd':
      return { op, argument: Math.floor(level * 110) };
    case 'Color':
    case 'Contrast':
    case 'Brightness':
    case 'Sharpness':
      return { op, argument: increasing ? 1 + sign * (level * 0.9) : level * 1.8 + 0.1 };
    case 'Rotate':
      return { op, argument: sign * (level * 30), interpolation: interpolation() };
    case 'ShearX':
    case 'ShearY':
      return { op, argument: sign * (level * 0.3), interpolation: interpolation() };
    case 'TranslateX':
    case 'TranslateY':
      return { op, argument: sign * (level * 0.45) * size, interpolation: interpolation() };
  }
}
