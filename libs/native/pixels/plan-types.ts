/** Plans for rendering and finishing as plain data: libs/data decides them, C++ executes them, and in between they can be printed and hashed. */

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
 * One RandAugment or ColorJitter operation. The argument already has its sign and is converted from the magnitude:
 * AutoContrast, Equalize, Invert ignore it. Rotate: degrees. Posterize: bits kept, 0 … 8. Solarize: threshold, 0 … 256.
 * SolarizeAdd: addend, 0 … 255, for values below 128. Color, Contrast, Brightness, Sharpness: factor. Shear: factor. Translate: pixels, may be fractional.
 */
export interface PixelOp {
  op: PixelOpName;
  argument: number;
  /** Used by Rotate, Shear and Translate. Default bilinear. */
  interpolation?: Interpolation;
}

/** How the source becomes size × size. Coordinates are in pixels of the source, unless stated otherwise. */
export type Geometry =
  | { kind: 'resized_crop'; top: number; left: number; height: number; width: number; interpolation: Interpolation }
  /** Zero padding; top and left refer to the padded image. */
  | { kind: 'padded_crop'; padding: number; top: number; left: number }
  /** top and left refer to the resized image. */
  | { kind: 'resize_center_crop'; resizeWidth: number; resizeHeight: number; top: number; left: number; interpolation: Interpolation }
  /** Resizes the whole image to a square, whatever its aspect ratio. */
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

/** `rgb`: interleaved rows of uint8; `gray`: one byte per pixel. width and height of a jpeg or png may be 0 (unknown) or must equal the file's. */
export interface RenderSource {
  format: 'jpeg' | 'png' | 'rgb' | 'gray';
  bytes: Uint8Array;
  width: number;
  height: number;
}

export type RenderOutcome = { ok: true } | { ok: false; reason: string };

/** A rectangle, in pixels. */
export interface Box {
  top: number;
  left: number;
  height: number;
  width: number;
}

/** const: 0. rand: one N(0, 1) value per channel. pixel: one per pixel and channel. key and box select the noise (noise.h). */
export interface EraseBox extends Box {
  mode: 'const' | 'rand' | 'pixel';
  /** Philox key, two 32-bit words. */
  key: [number, number];
  /** Counter word, different for each box under one key. */
  box: number;
}

/**
 * `partner` is the row of the batch whose erased, unmixed image is mixed in. With a box, that part comes from the partner (cutmix; lambda
 * then only concerns the target). Without a box: lambda · own + (1 − lambda) · partner, so lambda 1 leaves the image unmixed.
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

/** Normalisation (x/255 − mean)/std per channel, and one entry per sample of the batch. */
export interface FinishPlan {
  mean: [number, number, number];
  std: [number, number, number];
  samples: FinishSample[];
}
