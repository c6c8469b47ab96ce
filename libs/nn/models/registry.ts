/** The models by name. */
import { maxClasses } from '#errors/limits.js';
import type { Model } from '../model.js';
import { convnext } from './convnext.js';
import { mixer } from './mixer.js';
import { swin } from './swin.js';
import { vit } from './vit.js';

export interface ModelSizes {
  /** Side of the square input in pixels. */
  imageSize: number;
  classes: number;
}

/** Options of a model's initialisation. Only ConvNeXt uses them; other models ignore them. */
export interface ModelOptions {
  /** Initial value of every gamma; there are no gammas unless it is above 0. Default 1e-6. */
  layerScaleInitValue?: number | undefined;
  /** Factor of the head's initial weight. Default 1. */
  headInitScale?: number | undefined;
}

export type Family = 'vit' | 'mixer' | 'swin' | 'convnext';

interface Entry {
  family: Family;
  /** Default image size of the model, in pixels. */
  imageSize: number;
  /** Whether the architecture can divide this image size as it needs. */
  takes: (imageSize: number) => boolean;
  /** Description of the sizes that `takes` accepts. */
  sizes: string;
  build: (classes: number, options: ModelOptions) => Model;
}

const MOST_PIXELS = 1024;

const multiplesOf = (step: number, what: string) => ({
  takes: (imageSize: number) => imageSize % step === 0,
  sizes: `multiples of ${step}, ${what}, up to ${MOST_PIXELS}`,
});

const vitEntry = (dim: number, depth: number, heads: number, patch: number, imageSize: number): Entry => ({
  family: 'vit',
  imageSize,
  ...multiplesOf(patch, 'the patch'),
  build: (classes) => vit({ dim, depth, heads, patch, classes }),
});

const mixerEntry = (dim: number, depth: number, patch: number, imageSize: number): Entry => ({
  family: 'mixer',
  imageSize,
  ...multiplesOf(patch, 'the patch'),
  build: (classes) => mixer({ dim, depth, patch, classes }),
});

function swinEntry(
  dim: number,
  depths: readonly number[],
  heads: readonly number[],
  { imageSize = 224, patch = 4, window = 7 }: { imageSize?: number; patch?: number; window?: number } = {},
): Entry {
  const takes = (size: number) =>
    depths.every((_, stage) => {
      const side = size / patch / 2 ** stage;
      return Number.isInteger(side) && (side <= window || side % window === 0);
    });
  const first = Array.from({ length: MOST_PIXELS }, (_, i) => i + 1).filter(takes);
  return {
    family: 'swin',
    imageSize,
    takes,
    sizes: `${first.slice(0, 6).join(', ')}${first.length > 6 ? ', …' : ''}: every stage's map must divide into windows of ${window} tokens`,
    build: (classes) => swin({ dim, depths, heads, patch, window, classes }),
  };
}

function convnextEntry(
  depths: readonly number[],
  dims: readonly number[],
  { imageSize = 224, patch = 4 }: { imageSize?: number; patch?: number } = {},
): Entry {
  return {
    family: 'convnext',
    imageSize,
    ...multiplesOf(patch * 2 ** (depths.length - 1), 'so that every stage halves whole maps'),
    build: (classes, options) => convnext({ depths, dims, patch, classes, ...given(options) }),
  };
}

const doubling = (first: number) => [first, 2 * first, 4 * first, 8 * first];

const models: Readonly<Record<string, Entry>> = {
  vit_tiny: vitEntry(192, 12, 3, 16, 224),
  vit_small: vitEntry(384, 12, 6, 16, 224),
  vit_base: vitEntry(768, 12, 12, 16, 224),
  vit_large: vitEntry(1024, 24, 16, 16, 224),
  mixer_t32: mixerEntry(256, 8, 32, 224),
  mixer_s32: mixerEntry(512, 8, 32, 224),
  mixer_s16: mixerEntry(512, 8, 16, 224),
  mixer_b32: mixerEntry(768, 12, 32, 224),
  mixer_b16: mixerEntry(768, 12, 16, 224),
  swin_femto: swinEntry(40, [2, 2, 6, 2], [2, 4, 8, 16]),
  swin_tiny: swinEntry(96, [2, 2, 6, 2], [3, 6, 12, 24]),
  swin_small: swinEntry(96, [2, 2, 18, 2], [3, 6, 12, 24]),
  convnext_atto: convnextEntry([2, 2, 6, 2], doubling(40)),
  convnext_mini: convnextEntry([2, 2, 4, 2], doubling(48)),
  convnext_femto: convnextEntry([2, 2, 6, 2], doubling(48)),
  convnext_pico: convnextEntry([2, 2, 6, 2], doubling(64)),
  convnext_tiny: convnextEntry([3, 3, 9, 3], doubling(96)),
  convnext_small: convnextEntry([3, 3, 27, 3], doubling(96)),
  convnext_base: convnextEntry([3, 3, 27, 3], doubling(128)),
  convnext_large: convnextEntry([3, 3, 27, 3], doubling(192)),
  convnext_xlarge: convnextEntry([3, 3, 27, 3], doubling(256)),
  // Models for small images, which the reference does not have: 28 pixels (MNIST family) and 32 to 64 pixels (CIFAR, Tiny ImageNet). p: patch or
  // stem, w: window.
  vit_nano_p7: vitEntry(64, 4, 4, 7, 28),
  vit_micro_p4: vitEntry(128, 6, 4, 4, 32),
  vit_micro_p8: vitEntry(128, 6, 4, 8, 64),
  mixer_nano_p7: mixerEntry(64, 4, 7, 28),
  mixer_micro_p4: mixerEntry(128, 6, 4, 32),
  mixer_micro_p8: mixerEntry(128, 6, 8, 64),
  swin_nano_p2: swinEntry(32, [2, 2], [2, 4], { imageSize: 28, patch: 2 }),
  swin_micro_p2_w4: swinEntry(48, [2, 2, 2], [3, 6, 12], { imageSize: 32, patch: 2, window: 4 }),
  swin_micro_p4_w4: swinEntry(48, [2, 2, 2], [3, 6, 12], { imageSize: 64, window: 4 }),
  convnext_nano_p2: convnextEntry([2, 2], [32, 64], { imageSize: 28, patch: 2 }),
  convnext_micro_p2: convnextEntry([2, 2, 2], [48, 96, 192], { imageSize: 32, patch: 2 }),
  convnext_micro_p4: convnextEntry([2, 2, 2], [48, 96, 192], { imageSize: 64 }),
};

/** A model, or an image size of a model, that does not exist. Says which field, its value, and what is allowed. */
export class UnknownModel extends Error {
  override readonly name = 'UnknownModel';
  constructor(
    readonly field: 'model' | 'imageSize' | 'classes',
    readonly value: string | number,
    readonly allowed: string,
  ) {
    super(`${field}: ${JSON.stringify(value)} is not allowed; allowed: ${allowed}`);
  }
}

export function modelNames(): string[] {
  return Object.keys(models);
}

/** A model's default image size in pixels. Throws UnknownModel. */
export function defaultImageSize(name: string): number {
  return entryOf(name).imageSize;
}

/** Throws UnknownModel. */
export function modelFamily(name: string): Family {
  return entryOf(name).family;
}

/** The model of this name for images of imageSize × imageSize pixels. Throws UnknownModel. */
export function modelConfig(name: string, { imageSize, classes }: ModelSizes, options: ModelOptions = {}): Model {
  const entry = entryOf(name);
  if (!Number.isInteger(imageSize) || imageSize < 1 || imageSize > MOST_PIXELS || !entry.takes(imageSize)) {
    throw new UnknownModel('imageSize', imageSize, `for ${name}: ${entry.sizes}`);
  }
  if (!Number.isInteger(classes) || classes < 1 || classes > maxClasses) throw new UnknownModel('classes', classes, `1 to ${maxClasses}`);
  return { ...entry.build(classes, options), name };
}

function entryOf(name: string): Entry {
  const entry = Object.hasOwn(models, name) ? models[name] : undefined;
  if (entry === undefined) throw new UnknownModel('model', name, modelNames().join(', '));
  return entry;
}

function given({ layerScaleInitValue, headInitScale }: ModelOptions): { layerScaleInitValue?: number; headInitScale?: number } {
  return { ...(layerScaleInitValue !== undefined && { layerScaleInitValue }), ...(headInitScale !== undefined && { headInitScale }) };
}
