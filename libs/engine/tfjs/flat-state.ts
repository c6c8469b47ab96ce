import type * as tfjs from '@tensorflow/tfjs-core';
import type { TensorFlow } from '#nn/operation.js';

/** One state of all parameters as a single vector, on the host, on the device or both. Owns its tensor. */
export class FlatState {
  #device: tfjs.Tensor1D | undefined;
  #host: Float32Array | undefined;

  constructor(
    private readonly tf: TensorFlow,
    size: number,
  ) {
    this.#host = new Float32Array(size);
  }

  /** The vector as a tensor, which this object still owns. */
  device(): tfjs.Tensor1D {
    if (this.#device === undefined) {
      // A tensor may keep using the array it is given, so it gets one that nobody writes to.
      this.#device = this.tf.keep(this.tf.tensor1d((this.#host as Float32Array).slice()));
    }
    return this.#device;
  }

  /** Takes ownership of a tensor with the new values. */
  replace(tensor: tfjs.Tensor1D): void {
    this.#device?.dispose();
    this.#device = this.tf.keep(tensor);
    this.#host = undefined;
  }

  async read(offset: number, into: Float32Array): Promise<void> {
    into.set((await this.#onHost()).subarray(offset, offset + into.length));
  }

  async write(offset: number, data: Float32Array): Promise<void> {
    (await this.#onHost()).set(data, offset);
    this.#device?.dispose();
    this.#device = undefined;
  }

  dispose(): void {
    this.#device?.dispose();
    this.#device = undefined;
  }

  async #onHost(): Promise<Float32Array> {
    this.#host ??= Float32Array.from(await (this.#device as tfjs.Tensor1D).data());
    return this.#host;
  }
}
