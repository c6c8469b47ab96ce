/** Describes, as plain data, how the addon renders and finishes images. libs/data decides it and C++ executes it; it can be printed and hashed. */
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
 * One RandAugment or ColorJitter operation. Its argument is already signed and converted from the magnitude. AutoContrast, Equalize, Invert: ignored.
 * Rotate: degrees. Posterize: number of bits kept, 0 to 8. Solarize: threshold, 0 to 256. SolarizeAdd: number from 0 to 255 that is added to values
 * below 128. Color, Contrast, Brightness, Sharpness: factor. Shear: factor. Translate: pixels, may be fractional.
 */
export interface PixelOp {
  op: PixelOpName;
  argument: number;
  /** Interpolation of Rotate, Shear and Translate. Default bilinear. */
  interpolation?: Interpolation;
}

/** Maps the source to size × size pixels. Coordinates are pixels of the source unless stated otherwise. */
export type Geometry =
  | { kind: 'resized_crop'; top: number; left: number; height: number; width: number; interpolation: Interpolation }
  /** Zero padding in pixels; top and left are coordinates of the padded image. */
  | { kind: 'padded_crop'; padding: number; top: number; left: number }
  /** top and left are coordinates of the resized image. */
  | { kind: 'resize_center_crop'; resizeWidth: number; resizeHeight: number; top: number; left: number; interpolation: Interpolation }
  /** Resizes directly to a square, without keeping the proportion. */
  | { kind: 'warp'; interpolation: Interpolation }
  /** The source is size × size. */
  | { kind: 'none' };

/** Geometry, then flip (left to right), and then ops in order. Colour jitter is expressed as Brightness, Contrast and Color in ops. */
export interface RenderPlan {
  geometry: Geometry;
  flip: boolean;
  ops: PixelOp[];
  /** Colour (R, G, B) that geometric ops write outside the image, 0 to 255. */
  fill: [number, number, number];
}

/**
 * `rgb`: interleaved rows of uint8; `gray`: one byte per pixel. width and height of image files must be those of the file, or 0 if they are not
 * known.
 */
export interface RenderSource {
  format: 'jpeg' | 'png' | ForeignFormat | 'rgb' | 'gray';
  bytes: Uint8Array;
  width: number;
  height: number;
}

export type RenderOutcome = { ok: true } | { ok: false; reason: string };

/** A rectangle in pixels. */
export interface Box {
  top: number;
  left: number;
  height: number;
  width: number;
}

/** const: zeros. rand: one N(0, 1) value for each channel. pixel: one for each pixel and channel. key and box select the noise; see noise.h. */
export interface EraseBox extends Box {
  mode: 'const' | 'rand' | 'pixel';
  /** Philox key, two 32-bit words. */
  key: [number, number];
  /** Counter word; it must differ between the boxes of one key. */
  box: number;
}

/**
 * `partner` is the row in the batch whose image is mixed in, as it is after erasing and before mixing. With a box, that part of the image comes from
 * the partner (cutmix), and lambda only applies to the target. Without a box, the result is lambda · own + (1 − lambda) · partner. A lambda of 1
 * without a box means no mixing.
 */
export interface MixStep {
  lambda: number;
  partner: number;
  box: Box | null;
}

export interface FinishSample {
  /** Slot of the sample in its batch, which selects the noise. Default its row, as in a whole batch. */
  slot?: number;
  erase: EraseBox[];
  mix: MixStep;
}

/** Normalisation (x/255 − mean)/std for each channel, and one entry for each sample of the batch. */
export interface FinishPlan {
  mean: [number, number, number];
  std: [number, number, number];
  samples: FinishSample[];
}
