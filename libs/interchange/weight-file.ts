/** Files of weights, whatever their format: names, shapes, and elements on demand. */
import { decodeSafetensors } from '#storage/safetensors.js';
import type { Dtype, TensorData } from '#storage/tensor.js';
import type { ByteSource } from './byte-source.js';
import { InterchangeError } from './interchange-error.js';
import { PickleArray } from './pth/pickle-values.js';
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
  const head = await source.read(0, Math.min(512, source.sizeBytes));
  const mistaken = mistakenFile(head);
  if (mistaken !== undefined) throw new InterchangeError(`no file of weights: ${mistaken}`);
  if (head[8] === 0x7b) {
    if (source.sizeBytes > MAX_SAFETENSORS_BYTES)
      throw new InterchangeError(`a safetensors file of ${source.sizeBytes} bytes, at most ${MAX_SAFETENSORS_BYTES} are read`);
    const { tensors, foreign } = decodeSafetensors(await source.read(0, source.sizeBytes), { foreign: 'pass over' });
    const selected = selectNames(tensors, query);
    const entries = selected.entries.map(({ name, dtype, shape, data }) => ({ name, dtype, shape, read: async () => data }));
    const others = foreign.map(({ name, dtype }) => `${name} (${dtype})`);
    const notices = others.length === 0 ? [] : [`of other types than are read, passed over: ${others.slice(0, 20).join(', ')}`];
    return { format: 'safetensors', entries, notices: [...notices, ...selected.notices] };
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
  return { format: 'pth', entries: selected.entries, notices: [...found.notices, ...selected.notices] };
}

/** What a download that went wrong leaves under the name of a file of weights; undefined for anything else. */
function mistakenFile(head: Uint8Array): string | undefined {
  if (head.byteLength === 0) return 'it is empty';
  const text = Buffer.from(head).toString('latin1');
  if (text.startsWith('version https://git-lfs.github.com/spec/'))
    return 'it is a git-lfs pointer; fetch the file itself with `git lfs pull`';
  if (/^\s*(<!doctype html|<html|<\?xml|<head)/i.test(text))
    return 'it is an HTML or XML page, as a server sends in place of a file; download it again';
  if (/^\s*\{/.test(text)) return 'it is JSON; an index (*.index.json) names the files that hold the weights';
  return undefined;
}
