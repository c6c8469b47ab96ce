/** The models by name. */
import type { Model } from '../model.js';
import { vit } from './vit.js';

export interface ModelSizes {
  /** Side of the square input in pixels. */
  imageSize: number;
  classes: number;
}

interface Entry {
  /** Side of a patch: image sizes are its multiples. */
  patch: number;
  /** Image size that the name stands for. */
  imageSize: number;
  build: (classes: number) => Model;
}

const vitEntry = (dim: number, depth: number, heads: number, patch: number, imageSize: number): Entry => ({
  patch,
  imageSize,
  build: (classes) => vit({ dim, depth, heads, patch, classes }),
});

const models: Readonly<Record<string, Entry>> = {
  vit_tiny: vitEntry(192, 12, 3, 16, 224),
  vit_small: vitEntry(384, 12, 6, 16, 224),
  vit_base: vitEntry(768, 12, 12, 16, 224),
  vit_large: vitEntry(1024, 24, 16, 16, 224),
  // For small images: 28 (MNIST family) and 32 to 64 pixels (CIFAR, Tiny ImageNet).
  vit_nano_p7: vitEntry(64, 4, 4, 7, 28),
  vit_micro_p4: vitEntry(128, 6, 4, 4, 32),
  vit_micro_p8: vitEntry(128, 6, 4, 8, 64),
};

/** A model or a size of it that does not exist: which field, its value, and what is allowed. */
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

/** The image size that a model's name stands for, in pixels. Throws UnknownModel. */
export function defaultImageSize(name: string): number {
  return entryOf(name).imageSize;
}

/** The model of a name for images of imageSize × imageSize. Throws UnknownModel. */
export function modelConfig(name: string, { imageSize, classes }: ModelSizes): Model {
  const entry = entryOf(name);
  if (!Number.isInteger(imageSize) || imageSize < entry.patch || imageSize > 1024 || imageSize % entry.patch !== 0) {
    throw new UnknownModel('imageSize', imageSize, `multiples of ${entry.patch}, the patch of ${name}, up to 1024`);
  }
  if (!Number.isInteger(classes) || classes < 1 || classes > 100_000) throw new UnknownModel('classes', classes, '1 to 100000');
  return { ...entry.build(classes), name };
}

function entryOf(name: string): Entry {
  const entry = Object.hasOwn(models, name) ? models[name] : undefined;
  if (entry === undefined) throw new UnknownModel('model', name, modelNames().join(', '));
  return entry;
}
