/** The transform of each image: the resolved form of the proto's TransformSpec, with every default filled in. */
import type { Violations } from '#errors/errors.js';
import type { EraseMode as EraseModeValue, TrainInterpolation as TrainInterpolationValue } from '#protocol/dropstream/v1/data.js';
import { eraseModes, trainInterpolations } from '#spec/words.js';
import { parseRandAugment, type RandAugment } from './rand-augment.js';
import type { Erasing } from './random-erasing.js';

export type TrainInterpolation = (typeof trainInterpolations.words)[number];

export interface Transform {
  /** Output height and width in pixels. */
  readonly inputSize: number;
  readonly training: boolean;
  /** Brightness, contrast and saturation factors are uniform in [max(0, 1 − x), 1 + x]. Only used without RandAugment. */
  readonly colorJitter: number;
  /** The RandAugment policy as given; '' means none. */
  readonly aa: string;
  readonly randAugment: RandAugment | null;
  readonly interpolation: TrainInterpolation;
  /** undefined: 0.875 for inputs below 384 pixels; from 384 on, images are warped to a square. */
  readonly cropPct: number | undefined;
  readonly erasing: Erasing;
  readonly imagenetMeanAndStd: boolean;
  /** Pixels of zero padding on each side before the random crop at inputSize ≤ 32. */
  readonly cropPadding: number;
  /** Probability of a horizontal flip. */
  readonly flip: number;
}

/** The fields of the proto's TransformSpec; an absent field has its default. */
export interface TransformOptions {
  readonly inputSize: number;
  readonly training: boolean;
  readonly colorJitter?: number | undefined;
  readonly aa?: string | undefined;
  readonly trainInterpolation?: TrainInterpolationValue | undefined;
  readonly cropPct?: number | undefined;
  readonly reprob?: number | undefined;
  readonly remode?: EraseModeValue | undefined;
  readonly recount?: number | undefined;
  readonly imagenetDefaultMeanAndStd?: boolean | undefined;
  readonly cropPadding?: number | undefined;
  readonly hflip?: number | undefined;
}

/** Up to this side in pixels, images are padded and cropped instead of being resized (recipe §5). */
export const SMALL_INPUT = 32;
/** From this side in pixels on, evaluation warps images to a square unless crop_pct is given. */
export const WARP_INPUT = 384;
const MIN_INPUT = 8;
const MAX_INPUT = 1024;

/** Fills in defaults. Adds invalid fields to `violations`; then the result must not be used. */
export function resolveTransform(options: TransformOptions, violations: Violations, prefix = ''): Transform {
  const { inputSize, training } = options;
  const colorJitter = options.colorJitter ?? 0.4;
  const aa = options.aa ?? 'rand-m9-mstd0.5-inc1';
  const probability = options.reprob ?? 0.25;
  const maxCount = options.recount ?? 1;
  const cropPadding = options.cropPadding ?? 4;
  const flip = options.hflip ?? 0.5;
  const { cropPct } = options;
  const integerIn = (value: number, low: number, high: number) => Number.isInteger(value) && value >= low && value <= high;
  const share = (value: number) => value >= 0 && value <= 1;
  const parsed = parseRandAugment(aa);
  violations
    .addAll(parsed.ok ? [] : [{ field: `${prefix}aa`, value: aa, allowed: parsed.allowed }])
    .check(integerIn(inputSize, MIN_INPUT, MAX_INPUT), `${prefix}input_size`, inputSize, `an integer from ${MIN_INPUT} to ${MAX_INPUT}`);
  violations.check(colorJitter >= 0 && colorJitter <= 100, `${prefix}color_jitter`, colorJitter, 'from 0 to 100');
  const interpolation = trainInterpolations.read(violations, `${prefix}train_interpolation`, options.trainInterpolation);
  violations.check(cropPct === undefined || (cropPct >= 0.05 && cropPct <= 1), `${prefix}crop_pct`, cropPct, 'from 0.05 to 1, or absent');
  violations.check(share(probability), `${prefix}reprob`, probability, 'from 0 to 1');
  const mode = eraseModes.read(violations, `${prefix}remode`, options.remode);
  violations.check(integerIn(maxCount, 1, 16), `${prefix}recount`, maxCount, 'an integer from 1 to 16');
  violations.check(integerIn(cropPadding, 0, 32), `${prefix}crop_padding`, cropPadding, 'an integer from 0 to 32');
  violations.check(share(flip), `${prefix}hflip`, flip, 'from 0 to 1');
  return {
    inputSize,
    training,
    colorJitter,
    aa,
    randAugment: parsed.ok ? parsed.value : null,
    interpolation,
    cropPct,
    erasing: { probability, mode, maxCount },
    imagenetMeanAndStd: options.imagenetDefaultMeanAndStd ?? true,
    cropPadding,
    flip,
  };
}

/**
 * For each channel, a value in [0, 1] becomes (value − mean) / std. `fill` is the colour that geometric operations leave in empty areas, in bytes.
 */
export interface Normalisation {
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  readonly fill: readonly [number, number, number];
}

const IMAGENET: Normalisation = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225], fill: [124, 116, 104] };
const HALF: Normalisation = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], fill: [128, 128, 128] };

export const normalisation = (transform: Transform): Normalisation => (transform.imagenetMeanAndStd ? IMAGENET : HALF);
