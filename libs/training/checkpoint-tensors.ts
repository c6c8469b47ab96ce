/** Tensors of checkpoints as programs take and give them: everything that training changes is float32. */
import type { NamedTensor } from '#engine/index.js';
import type { Tensor } from '#storage/tensor.js';

/** A program's tensor for a checkpoint; shares its memory. */
export function toCheckpointTensor({ name, shape, data }: NamedTensor): Tensor {
  return { name, dtype: 'F32', shape, data: data as Float32Array<ArrayBuffer> };
}

/** A group of a checkpoint for a program; shares its memory. @throws RangeError for a tensor that is not float32 */
export function toProgramTensors(group: readonly Tensor[]): NamedTensor[] {
  return group.map(({ name, dtype, shape, data }) => {
    if (dtype !== 'F32') throw new RangeError(`tensor ${name} is ${dtype}, must be F32`);
    return { name, shape: [...shape], data: data as Float32Array };
  });
}
