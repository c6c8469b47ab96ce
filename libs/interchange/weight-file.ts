/** Files of weights, whatever their format: names, shapes, and elements on demand. */
import { decodeSafetensors } from '#storage/safetensors.js';
import type { Dtype, TensorData } from '#storage/tensor.js';
import type { ByteSource } from './byte-source.js';
import { InterchangeError } from './interchange-error.js';
import { openPth } from './pth/read-pth.js';
import { findWeights, selectNames, type WeightsQuery } from './reference-checkpoint.js';

export interface WeightEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Elements in row-major order. @throws InterchangeError */
  read(): Promise<TensorData>;
}

export interface WeightFile {
  readonly format: 'safetensors' | 'pth';
  readonly entries: readonly WeightEntry[];
  /** What was passed over, for a person. */
  readonly notices: readonly string[];
}

/** A safetensors file is read into memory as a whole. */
const MAX_SAFETENSORS_BYTES = 4 * 2 ** 30 - 1;

/**
 * Opens a .safetensors or .pth file, told apart by their first bytes. `source` must stay open while entries are read.
 * @throws PthError, SafetensorsError; InterchangeError for anything else
 */
export async function openWeightFile(source: ByteSource, query: WeightsQuery = {}): Promise<WeightFile> {
  const head = await source.read(0, Math.min(9, source.sizeBytes));
  if (head[8] === 0x7b) {
    if (source.sizeBytes > MAX_SAFETENSORS_BYTES)
      throw new InterchangeError(`a safetensors file of ${source.sizeBytes} bytes, at most ${MAX_SAFETENSORS_BYTES} are read`);
    const { tensors } = decodeSafetensors(await source.read(0, source.sizeBytes));
    const selected = selectNames(tensors, query);
    const entries = selected.entries.map(({ name, dtype, shape, data }) => ({ name, dtype, shape, read: async () => data }));
    return { format: 'safetensors', entries, notices: selected.notices };
  }
  const file = await openPth(source);
  const found = findWeights(file.root, query);
  const all = [...found.tensors].map(([name, tensor]) => ({
    name,
    dtype: tensor.storage.dtype,
    shape: tensor.shape,
    read: () => file.read(tensor),
  }));
  const selected = selectNames(all, query);
  return { format: 'pth', entries: selected.entries, notices: [...found.notices, ...selected.notices] };
}
