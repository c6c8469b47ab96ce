/**
 * Images from the data service, which still have to be normalised, erased and mixed before a model sees them. The executor decides who does it: one
 * that can take them as bytes finishes them on its device; for the others, the host finishes them beforehand.
 */
import { type FinishPlan, finishBatch } from '#native/pixels.js';
import type { MicroBatch, StagedImages } from './executable.js';

/** The images of one micro-batch as bytes, and what is still to be done to them. */
export interface UnfinishedImages {
  /** [samples, 3, size, size] */
  pixels: Uint8Array;
  size: number;
  /** One entry for each sample. */
  plan: FinishPlan;
}

/** Images that a step or an evaluation can take. */
export interface PreparedImages {
  readonly images: MicroBatch['images'];
  /** Gives their memory back. No running or waiting call may use them. */
  release(): void;
}

/** Whoever prepares images for a program: the program itself, or HostImages. */
export interface ImagePreparation {
  /** Resolves when the images are ready, and `pixels` may then be used for others. May run beside any other call. */
  prepareImages(images: UnfinishedImages): Promise<PreparedImages>;
}

/** Finishes images in the addon's threads, into memory that is used again. */
export class HostImages implements ImagePreparation {
  readonly #free: Float32Array[] = [];

  async prepareImages({ pixels, size, plan }: UnfinishedImages): Promise<PreparedImages> {
    const floats = pixels.length;
    const spare = this.#free.pop();
    const memory = spare !== undefined && spare.length >= floats ? spare : new Float32Array(floats);
    const images = memory.subarray(0, floats);
    await finishBatch(pixels, plan.samples.length, size, plan, images);
    return { images, release: once(() => void this.#free.push(memory)) };
  }
}

/** Sends images to a device that finishes them. */
export class DeviceImages implements ImagePreparation {
  constructor(private readonly stage: (images: UnfinishedImages) => Promise<StagedImages>) {}

  async prepareImages(unfinished: UnfinishedImages): Promise<PreparedImages> {
    const images = await this.stage(unfinished);
    return { images, release: once(() => images.release()) };
  }
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}
