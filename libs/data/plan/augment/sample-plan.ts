/**
 * The plan of one image: the operations that the pixel code applies to it. It is a pure function of (seed, epoch, position, attempt), the transform
 * and the image's size; see recipe §5. Order: crop, flip, RandAugment or color jitter, normalise (not in uint8 formats), erase.
 */
import type { Geometry, Interpolation, PixelOp, RenderPlan } from '#native/pixels.js';
import { type PhiloxKey, philoxBlock, purposeKey } from '#random/philox.js';
import { Draws } from './draws.js';
import { drawRandAugment } from './rand-augment.js';
import { evaluationCrop, randomResizedCrop } from './random-crop.js';
import { type EraseMode, randomErasing } from './random-erasing.js';
import { normalisation, SMALL_INPUT, type Transform, WARP_INPUT } from './transform.js';

/** One erased rectangle, applied after normalising. */
export interface ErasePlan {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly mode: EraseMode;
  /** Philox key of the noise, two 32-bit words. */
  readonly key: readonly [number, number];
  /** Index of the box within its image; a word of the noise's counter. */
  readonly box: number;
}

export interface SamplePlan {
  readonly render: RenderPlan;
  readonly erase: readonly ErasePlan[];
}

/** The keys of a seed's draws, one for each purpose. Made once for each plan. */
export interface SampleKeys {
  readonly crop: PhiloxKey;
  readonly flip: PhiloxKey;
  readonly augment: PhiloxKey;
  readonly jitter: PhiloxKey;
  readonly interpolation: PhiloxKey;
  readonly erase: PhiloxKey;
  readonly noise: PhiloxKey;
}

export function sampleKeys(seed: bigint): SampleKeys {
  const key = (purpose: string) => purposeKey(seed, purpose);
  return {
    crop: key('crop'),
    flip: key('flip'),
    augment: key('augment'),
    jitter: key('jitter'),
    interpolation: key('interpolation'),
    erase: key('erase'),
    noise: key('erase noise'),
  };
}

/** The place of an image in a training run. */
export interface SamplePlace {
  readonly epoch: number;
  /** Position in the epoch, counted over all ranks. */
  readonly position: number;
  /** 0 for the image itself; k for the k-th replacement of an image that cannot be decoded. */
  readonly attempt: number;
}

export function planSample(transform: Transform, keys: SampleKeys, place: SamplePlace, width: number, height: number): SamplePlan {
  const { fill } = normalisation(transform);
  if (!transform.training) {
    return { render: { geometry: evaluationGeometry(transform, width, height), flip: false, ops: [], fill: [...fill] }, erase: [] };
  }
  const draws = (key: PhiloxKey) => new Draws(key, place.epoch, place.position, place.attempt);
  const interpolation = drawInterpolation(transform, draws(keys.interpolation));
  const geometry = trainingGeometry(transform, draws(keys.crop), width, height, interpolation);
  const flip = draws(keys.flip).chance(transform.flip);
  const ops = transform.randAugment
    ? drawRandAugment(draws(keys.augment), transform.randAugment, transform.inputSize, interpolation)
    : drawColorJitter(draws(keys.jitter), transform.colorJitter);
  const boxes = randomErasing(draws(keys.erase), transform.erasing, transform.inputSize, transform.inputSize);
  const key = boxes.length > 0 ? noiseKey(keys.noise, place) : ([0, 0] as const);
  return {
    render: { geometry, flip, ops, fill: [...fill] },
    erase: boxes.map((box, index) => ({ ...box, mode: transform.erasing.mode, key, box: index })),
  };
}

/** Returns undefined if the transform can take images of this size, and otherwise the sizes that it can take. */
export function refusedSize(transform: Transform, width: number, height: number): string | undefined {
  const { inputSize, training, cropPadding } = transform;
  if (inputSize > SMALL_INPUT) return undefined;
  if (!training) {
    return width === inputSize && height === inputSize
      ? undefined
      : `images of exactly ${inputSize} x ${inputSize} pixels: evaluation does not resize at input_size <= ${SMALL_INPUT}`;
  }
  const least = inputSize - 2 * cropPadding;
  return width >= least && height >= least
    ? undefined
    : `images of at least ${least} x ${least} pixels: training crops without resizing at input_size <= ${SMALL_INPUT}`;
}

function drawInterpolation(transform: Transform, draws: Draws): () => Interpolation {
  const { interpolation } = transform;
  return interpolation === 'random' ? () => (draws.below(2) === 0 ? 'bilinear' : 'bicubic') : () => interpolation;
}

function trainingGeometry(transform: Transform, draws: Draws, width: number, height: number, interpolation: () => Interpolation): Geometry {
  const { inputSize, cropPadding } = transform;
  if (inputSize > SMALL_INPUT) {
    return { kind: 'resized_crop', ...randomResizedCrop(draws, width, height), interpolation: interpolation() };
  }
  if (cropPadding === 0 && width === inputSize && height === inputSize) return { kind: 'none' };
  return {
    kind: 'padded_crop',
    padding: cropPadding,
    top: draws.integer(0, height + 2 * cropPadding - inputSize),
    left: draws.integer(0, width + 2 * cropPadding - inputSize),
  };
}

function evaluationGeometry({ inputSize, cropPct }: Transform, width: number, height: number): Geometry {
  if (inputSize <= SMALL_INPUT) return { kind: 'none' };
  // The reference warps images from 384 pixels on, whatever crop_pct is.
  if (inputSize >= WARP_INPUT) return { kind: 'warp', interpolation: 'bicubic' };
  return { kind: 'resize_center_crop', ...evaluationCrop(width, height, inputSize, cropPct ?? 0.875), interpolation: 'bicubic' };
}

/** Brightness, contrast and saturation, each by a uniform factor, in random order. Empty if the strength is 0. */
export function drawColorJitter(draws: Draws, strength: number): PixelOp[] {
  if (strength === 0) return [];
  const ops = (['Brightness', 'Contrast', 'Color'] as const).map(
    (op): PixelOp => ({ op, argument: draws.uniform(Math.max(0, 1 - strength), 1 + strength) }),
  );
  for (let last = ops.length - 1; last > 0; last--) {
    const other = draws.below(last + 1);
    [ops[last], ops[other]] = [ops[other] as PixelOp, ops[last] as PixelOp];
  }
  return ops;
}

function noiseKey(key: PhiloxKey, { epoch, position, attempt }: SamplePlace): readonly [number, number] {
  const words = new Uint32Array(4);
  philoxBlock(words, key, 0, epoch, position, attempt);
  return [words[0] as number, words[1] as number];
}
