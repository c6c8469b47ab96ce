/** What the addon renders and finishes, as plain data: decided in libs/data, executed in C++, printable and hashable in between. */
import type { ForeignFormat } from './foreign/formats.js';

export type Interpolation = 'bilinear' | 'bicubic';

export type PixelOpName =
  | 'AutoContrast'
  | 'Equalize'
  | 'Invert'
  | 'Rotate'
  | 'Posterize'
  | 'Solarize'
  | 'SolarizeAdd'
  | 'Color'
  | 'Contrast'
  | 'Brightness'
  | 'Sharpness'
  | 'ShearX'
  | 'ShearY'
  | 'TranslateX'
  | 'TranslateY';

/**
 * One RandAugment or ColorJitter operation, argument already signed and converted from its magnitude:
 * AutoContrast, Equalize, Invert: ignored. Rotate: degrees. Posterize: bits kept, 0 … 8. Solarize: threshold, 0 … 256.
 * SolarizeAdd: addend, 0 … 255, for values below 128. Color, Contrast, Brightness, Sharpness: factor. Shear: factor. Translate: pixels, may be fractional.
 */
export interface PixelOp {
  op: PixelOpName;
  argument: number;
  /** Of Rotate, Shear and Translate. Default bilinear. */
  interpolation?: Interpolation;
}

/** From the source to size × size. Coordinates in pixels of the source, unless said otherwise. */
export type Geometry =
  | { kind: 'resized_crop'; top: number; left: number; height: number; width: number; interpolation: Interpolation }
  /** Zero padding; top and left in the padded image. */
  | { kind: 'padded_crop'; padding: number; top: number; left: number }
  /** top and left in the resized image. */
  | { kind: 'resize_center_crop'; resizeWidth: number; resizeHeight: number; top: number; left: number; interpolation: Interpolation }
  /** Straight to a square. */
  | { kind: 'warp'; interpolation: Interpolation }
  /** The source is size × size. */
  | { kind: 'none' };

/** Geometry, then flip (left to right), then ops in order. Colour jitter is Brightness, Contrast and Color in ops. */
export interface RenderPlan {
  geometry: Geometry;
  flip: boolean;
  ops: PixelOp[];
  /** R, G, B that geometric ops write outside the image, 0 … 255. */
  fill: [number, number, number];
}

/** `rgb`: interleaved rows of uint8; `gray`: one byte a pixel. width, height: of files 0 = unknown, else must be the file's. */
export interface RenderSource {
  format: 'jpeg' | 'png' | ForeignFormat | 'rgb' | 'gray';
  bytes: Uint8Array;
  width: number;
  height: number;
}

export type RenderOutcome = { ok: true } | { ok: false; reason: string };

/** A rectangle, pixels. */
export interface Box {
  top: number;
  left: number;
  height: number;
  width: number;
}

/** const: 0. rand: one N(0, 1) value a channel. pixel: one a pixel and channel. key and box choose the noise: see noise.h. */
export interface EraseBox extends Box {
  mode: 'const' | 'rand' | 'pixel';
  /** Philox key, two 32-bit words. */
  key: [number, number];
  /** Counter word, different for each box under one key. */
  box: number;
}

/**
 * `partner`: row in the batch, whose erased and unmixed image is mixed in. box: that part is the partner's (cutmix; lambda is then only
 * the target's). No box: lambda · own + (1 − lambda) · partner. lambda 1 without a box: unmixed.
 */
export interface MixStep {
  lambda: number;
  partner: number;
  box: Box | null;
}

export interface FinishSample {
  erase: EraseBox[];
  mix: MixStep;
}

/** Normalisation (x/255 − mean)/std by channel, and one entry a sample of the batch. */
export interface FinishPlan {
  mean: [number, number, number];
  std: [number, number, number];
  samples: FinishSample[];
}
