/** Weights of a file as a model's parameters: names of the reference or of timm, float types to float32, everything checked. */
import type { Tensor, TensorData } from '#storage/tensor.js';
import { bfloat16ToFloat32, float16ToFloat32 } from './half-floats.js';
import { type Mismatch, MismatchError } from './mismatch-error.js';
import { type Convention, conventionOf, familyOf, fromTimm, type NamedShape } from './names/timm-names.js';
import { quoted } from './pth/pth-error.js';
import type { WeightEntry, WeightFile } from './weight-file.js';

export interface ImportOptions {
  /** The model's parameters, in its order. */
  readonly expected: readonly NamedShape[];
  /** Leave out a head that is missing or of another shape, with a notice: for finetuning. Default false: a mismatch like any other. */
  readonly dropHead?: boolean;
}

export interface ImportedWeights {
  /** float32, in the model's order and with its names; without the head where it was dropped. */
  readonly tensors: readonly Tensor[];
  readonly convention: Convention;
  readonly notices: readonly string[];
}

const toFloat32: ReadonlyMap<string, (data: TensorData) => Float32Array> = new Map([
  ['F32', (data: TensorData) => data as Float32Array],
  ['F64', (data: TensorData) => Float32Array.from(data as Float64Array)],
  ['F16', (data: TensorData) => float16ToFloat32(data as Uint16Array)],
  ['BF16', (data: TensorData) => bfloat16ToFloat32(data as Uint16Array)],
]);

/** @throws MismatchError that lists every parameter; InterchangeError for damaged data */
export async function importWeights(file: WeightFile, { expected, dropHead = false }: ImportOptions): Promise<ImportedWeights> {
  const family = familyOf(expected.map(({ name }) => name));
  const convention = conventionOf(
    family,
    file.entries.map(({ name }) => name),
  );
  const found = new Map<string, { entry: WeightEntry; shape: readonly number[] }>();
  const mismatches: Mismatch[] = [];
  for (const entry of file.entries) {
    const ours = convention === 'timm' ? fromTimm(family, entry) : entry;
    if (found.has(ours.name)) mismatches.push({ name: entry.name, problem: 'unexpected', found: text(entry.shape), expected: undefined });
    else found.set(ours.name, { entry, shape: ours.shape });
  }
  const taken: { name: string; shape: readonly number[]; entry: WeightEntry }[] = [];
  const dropped: string[] = [];
  for (const { name, shape } of expected) {
    const there = found.get(name);
    found.delete(name);
    const mismatch = compare(name, shape, there);
    if (there !== undefined && mismatch === undefined) taken.push({ name, shape, entry: there.entry });
    else if (dropHead && name.startsWith('head.') && mismatch?.problem !== 'type') dropped.push(name);
    else mismatches.push(mismatch!);
  }
  // Counters, masks and the like, which many save beside the weights.
  const others: string[] = [];
  for (const { entry } of found.values()) {
    if (entry.shape.includes(0)) others.push(`${quoted(entry.name)} (no elements)`);
    else if (toFloat32.has(entry.dtype))
      mismatches.push({ name: entry.name, problem: 'unexpected', found: text(entry.shape), expected: undefined });
    else others.push(`${quoted(entry.name)} (${entry.dtype})`);
  }
  if (mismatches.length > 0) throw new MismatchError(mismatches, hintOf(file, expected));
  const tensors: Tensor[] = [];
  for (const { name, shape, entry } of taken) {
    const data = toFloat32.get(entry.dtype)!(await entry.read()) as Float32Array<ArrayBuffer>;
    tensors.push({ name, dtype: 'F32', shape, data });
  }
  const notices = [...file.notices];
  if (others.length > 0) notices.push(`no weights by their types or shapes, passed over: ${others.slice(0, 20).join(', ')}`);
  if (dropped.length > 0) notices.push(`left out, since the file has no such head: ${dropped.join(', ')}`);
  return { tensors, convention, notices };
}

function compare(
  name: string,
  shape: readonly number[],
  there: { entry: WeightEntry; shape: readonly number[] } | undefined,
): Mismatch | undefined {
  if (there === undefined) return { name, problem: 'missing', found: undefined, expected: text(shape) };
  if (there.shape.join() !== shape.join()) return { name, problem: 'shape', found: text(there.entry.shape), expected: text(shape) };
  if (!toFloat32.has(there.entry.dtype))
    return { name, problem: 'type', found: there.entry.dtype, expected: [...toFloat32.keys()].join(' ') };
  return undefined;
}

/** Where every name would fit without its beginning, as in DistributedDataParallel's state_dict. */
function hintOf(file: WeightFile, expected: readonly NamedShape[]): string | undefined {
  const weights = file.entries.filter(({ dtype }) => toFloat32.has(dtype));
  const first = weights[0]?.name ?? '';
  for (let dot = first.indexOf('.'); dot >= 0; dot = first.indexOf('.', dot + 1)) {
    const prefix = first.slice(0, dot + 1);
    const names = new Set(weights.map(({ name }) => (name.startsWith(prefix) ? name.slice(prefix.length) : name)));
    if (expected.every(({ name }) => names.has(name)) && weights.every(({ name }) => name.startsWith(prefix)))
      return `every name begins with ${JSON.stringify(prefix)}: give --model-prefix ${prefix}`;
  }
  return undefined;
}

const text = (shape: readonly number[]): string => `[${shape.join(', ')}]`;
