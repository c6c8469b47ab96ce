/** The reference's checkpoints: {model, optimizer, epoch, args, model_ema, …}, or a state_dict alone. */
import { NumpyArray } from './pth/pickle-numpy.js';
import { PickleArray, PickleDict, PickleTensor, type PickleValue } from './pth/pickle-values.js';
import { PthError, quoted } from './pth/pth-error.js';

export interface WeightsQuery {
  /** Names separated by |; the first that is in the file is taken, else the file itself. Default 'model|module'. */
  modelKey?: string;
  /** Only names that begin like this, and without it. Default ''. */
  modelPrefix?: string;
}

export interface FoundWeights {
  /** The key that was taken; undefined where the file itself is the weights. */
  key: string | undefined;
  tensors: Map<string, PickleTensor | PickleArray>;
  /** What was passed over, in words for a person; empty for a file of weights alone. */
  notices: string[];
}

const DEFAULT_MODEL_KEY = 'model|module';
/** Constants that the reference's Swin stores beside its parameters. */
const isBuffer = (name: string): boolean => /(^|\.)(relative_position_index|attn_mask)$/.test(name);

/** @throws PthError where there is no dict of tensors */
export function findWeights(root: PickleValue, query: WeightsQuery = {}): FoundWeights {
  if (!(root instanceof PickleDict)) throw new PthError('', 'it holds no dict');
  const key = (query.modelKey ?? DEFAULT_MODEL_KEY).split('|').find((name) => root.entries.has(name));
  const dict = key === undefined ? root : root.entries.get(key);
  if (!(dict instanceof PickleDict)) throw new PthError(`key ${quoted(key ?? '')}`, 'it holds no dict of tensors');
  const tensors = new Map<string, PickleTensor | PickleArray>();
  const others: string[] = [];
  for (const [name, found] of dict.entries) {
    const value = found instanceof NumpyArray ? found.array : found;
    if (typeof name === 'string' && (value instanceof PickleTensor || value instanceof PickleArray)) tensors.set(name, value);
    else others.push(String(name));
  }
  const where = key === undefined ? 'the file itself' : quoted(key);
  if (tensors.size === 0) {
    const keys = [...root.entries.keys()]
      .slice(0, 20)
      .map((name) => quoted(String(name)))
      .join(', ');
    throw new PthError('', `${where} holds no tensors by name; keys of the file: ${keys}; say which with --model-key`);
  }
  const notices = others.length === 0 ? [] : [`no tensors, passed over: ${others.slice(0, 20).map(quoted).join(', ')}`];
  return { key, tensors, notices };
}

/** Names below a prefix, without buffers. */
export function selectNames<T extends { readonly name: string }>(
  entries: readonly T[],
  { modelPrefix = '' }: WeightsQuery = {},
): { entries: T[]; notices: string[] } {
  const below = entries.filter(({ name }) => name.startsWith(modelPrefix));
  const selected = below.map((entry) => ({ ...entry, name: entry.name.slice(modelPrefix.length) })).filter(({ name }) => !isBuffer(name));
  const left = entries.length - below.length;
  return { entries: selected, notices: left === 0 ? [] : [`${left} of ${entries.length} names do not begin with ${quoted(modelPrefix)}`] };
}
