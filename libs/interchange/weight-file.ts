/** Files of weights, whatever their format: names, shapes, and elements on demand. */
import { mistakenDownload } from '#errors/mistaken-download.js';
import { decodeSafetensors } from '#storage/safetensors.js';
import type { TensorData } from '#storage/tensor.js';
import type { ByteSource } from './byte-source.js';
import { InterchangeError } from './interchange-error.js';
import { PickleArray, PickleDict } from './pth/pickle-values.js';
import { openPth } from './pth/read-pth.js';
import { findWeights, selectNames, type WeightsQuery } from './reference-checkpoint.js';

export interface WeightEntry {
  readonly name: string;
  /** One of `Dtype`, or another name from a safetensors file: such elements cannot be read. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Elements in row-major order. @throws InterchangeError */
  read(): Promise<TensorData>;
}

export interface WeightFile {
  readonly format: 'safetensors' | 'pth';
  readonly entries: readonly WeightEntry[];
  /** Keys of a .pth file, such as model and model_ema; none of a safetensors file. */
  readonly keys: readonly string[];
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
  const head = await source.read(0, Math.min(512, source.sizeBytes));
  const isJson = /^\s*\{/.test(Buffer.from(head).toString('latin1'));
  const mistaken = isJson ? 'it is JSON; an index (*.index.json) names the files that hold the weights' : mistakenDownload(head);
  if (mistaken !== undefined) throw new InterchangeError(`no file of weights: ${mistaken}`);
  if (head[8] === 0x7b) {
    if (source.sizeBytes > MAX_SAFETENSORS_BYTES)
      throw new InterchangeError(`a safetensors file of ${source.sizeBytes} bytes, at most ${MAX_SAFETENSORS_BYTES} are read`);
    const { tensors, foreign } = decodeSafetensors(await source.read(0, source.sizeBytes), { foreign: 'pass over' });
    const read = tensors.map(({ name, dtype, shape, data }): WeightEntry => ({ name, dtype, shape, read: async () => data }));
    const unread = foreign.map(({ name, dtype, shape }): WeightEntry => {
      const refuse = async () => {
        throw new InterchangeError(`tensor ${JSON.stringify(name)}: elements of type ${dtype} are not read`);
      };
      return { name, dtype, shape, read: refuse };
    });
    return { format: 'safetensors', keys: [], ...selectNames([...read, ...unread], query) };
  }
  const file = await openPth(source);
  const found = findWeights(file.root, query);
  const all = [...found.tensors].map(([name, tensor]) => ({
    name,
    dtype: tensor instanceof PickleArray ? tensor.dtype : tensor.storage.dtype,
    shape: tensor.shape,
    read: async () => (tensor instanceof PickleArray ? tensor.data : await file.read(tensor)),
  }));
  const selected = selectNames(all, query);
  const keys = file.root instanceof PickleDict ? [...file.root.entries.keys()].map(String) : [];
  return { format: 'pth', keys, entries: selected.entries, notices: [...found.notices, ...selected.notices] };
}
