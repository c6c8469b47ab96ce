/**
 * The Python names that mean something here, each with the data that it stands for. Nothing is looked up or called outside of this table: what
 * any other name makes is an opaque value.
 */
import { type Dtype, elementCount } from '#storage/tensor.js';
import { codecsEncode, dtypeOf, NumpyArray, scalarOf } from './pickle-numpy.js';
import {
  PickleDict,
  PickleList,
  PickleNamespace,
  PickleOpaque,
  type PickleScalar,
  PickleStorage,
  PickleTensor,
  PickleTuple,
  type PickleValue,
} from './pickle-values.js';
import { PthError, quoted } from './pth-error.js';

/** A Python name on the machine's stack: no value of a file, so it can only be applied. */
export class PickleGlobal {
  constructor(
    readonly name: string,
    readonly rule: GlobalRule,
  ) {}
}

interface GlobalRule {
  /** What calling it with these arguments gives. */
  readonly call?: (args: readonly PickleValue[], part: string) => PickleValue;
  /** What creating an object of this class without arguments gives. */
  readonly create?: () => PickleValue;
  readonly storage?: Dtype;
}

const MAX_DIMENSIONS = 64;

const rules: Readonly<Record<string, GlobalRule>> = {
  // Python 3 writes its items afterwards, Python 2 wrote them as arguments.
  'collections.OrderedDict': { call: ([items]) => dictOf(items) },
  'argparse.Namespace': { create: () => new PickleNamespace() },
  'torch._utils._rebuild_tensor_v2': { call: rebuildTensor },
  'torch._utils._rebuild_parameter': {
    call([tensor], part) {
      if (tensor instanceof PickleOpaque) return tensor;
      if (!(tensor instanceof PickleTensor)) throw new PthError(part, 'a parameter that is no tensor');
      return tensor;
    },
  },
  // Tensors of a class of their own, and those with attributes.
  'torch._tensor._rebuild_from_type_v2': { call: rebuildFromType },
  'torch.DoubleStorage': { storage: 'F64' },
  'torch.FloatStorage': { storage: 'F32' },
  'torch.HalfStorage': { storage: 'F16' },
  'torch.BFloat16Storage': { storage: 'BF16' },
  'torch.LongStorage': { storage: 'I64' },
  'torch.IntStorage': { storage: 'I32' },
  'torch.ByteStorage': { storage: 'U8' },
  'torch.BoolStorage': { storage: 'BOOL' },
  'torch.ShortStorage': { storage: 'I16' },
  'torch.CharStorage': { storage: 'I8' },
  'collections.defaultdict': { call: () => new PickleDict() },
  'torch.Size': { call: ([sizes]) => (sizes instanceof PickleTuple ? sizes : new PickleOpaque('torch.Size')) },
  '_codecs.encode': { call: codecsEncode },
  'numpy.dtype': { call: dtypeOf },
  ...numpyRules('numpy.core'),
  ...numpyRules('numpy._core'),
};

/** numpy 2 keeps under another name what numpy 1 had. */
function numpyRules(module: string): Record<string, GlobalRule> {
  return {
    [`${module}.multiarray.scalar`]: { call: scalarOf },
    [`${module}.multiarray._reconstruct`]: { call: () => new NumpyArray() },
    [`${module}.numeric._frombuffer`]: { call: NumpyArray.fromBuffer },
  };
}

export function globalOf(module: string, name: string): PickleGlobal {
  const full = `${module}.${name}`;
  const opaque = () => new PickleOpaque(full);
  return new PickleGlobal(full, Object.hasOwn(rules, full) ? (rules[full] as GlobalRule) : { call: opaque, create: opaque });
}

/** The tuple ('storage', class, key, location, elements) that torch.save gives as a persistent id. */
export function storageOf(id: unknown, part: string): PickleStorage | PickleOpaque {
  const items: readonly unknown[] = id instanceof PickleTuple ? id.items : [];
  const [kind, type, key, , elements] = items;
  if (items.length !== 5 || kind !== 'storage' || typeof key !== 'string') throw new PthError(part, 'a persistent id that is no storage');
  // Complex and quantized elements: not ours, and beside the weights they do no harm.
  if (type instanceof PickleOpaque) return type;
  if (!(type instanceof PickleGlobal) || type.rule.storage === undefined) throw new PthError(part, 'a storage of no known type');
  if (!isCount(elements)) throw new PthError(part, `storage ${quoted(key)} has no number of elements`);
  return new PickleStorage(type.rule.storage, key, elements);
}

/** _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks[, metadata]) */
function rebuildTensor(args: readonly PickleValue[], part: string): PickleTensor | PickleOpaque {
  const [storage, offset, size, stride] = args;
  if (storage instanceof PickleOpaque) return storage;
  if (args.length < 6 || args.length > 7 || !(storage instanceof PickleStorage)) throw new PthError(part, 'a tensor without a storage');
  const shape = sizesOf(size);
  const strides = sizesOf(stride);
  if (!shape?.every(isCount) || !strides?.every(isCount) || shape.length !== strides.length)
    throw new PthError(part, `a tensor's shape and strides must be equally many counts, at most ${MAX_DIMENSIONS}`);
  if (!isCount(offset)) throw new PthError(part, "a tensor's offset must be a count");
  const elements = elementCount(shape);
  if (elements === undefined) throw new PthError(part, `a tensor of shape [${shape}] is too large`);
  const last = shape.reduce((sum, count, k) => sum + (count - 1) * strides[k]!, offset);
  if (elements > 0 && !(last < storage.elements))
    throw new PthError(
      part,
      `a tensor of shape [${shape}] and strides [${strides}] from ${offset} lies beyond its ${storage.elements} elements`,
    );
  return new PickleTensor(storage, offset, shape, strides);
}

/** Long ones are not looked at: calls can repeat them without end. */
const sizesOf = (value: PickleValue | undefined): readonly PickleValue[] | undefined =>
  value instanceof PickleTuple && value.items.length <= MAX_DIMENSIONS ? value.items : undefined;

/** _rebuild_from_type_v2(function, class, arguments, state) */
function rebuildFromType([made, type, args]: readonly PickleValue[], part: string): PickleValue {
  const rule = made instanceof PickleOpaque && TENSOR_FUNCTIONS.has(made.name) ? rules[made.name] : undefined;
  if (rule?.call && args instanceof PickleTuple) return rule.call(args.items, part);
  return new PickleOpaque(type instanceof PickleOpaque ? type.name : 'torch.Tensor');
}

const TENSOR_FUNCTIONS = new Set(['torch._utils._rebuild_tensor_v2', 'torch._utils._rebuild_parameter']);

/** @param items a list of pairs; anything else: none */
function dictOf(items: PickleValue | undefined): PickleDict {
  const dict = new PickleDict();
  for (const pair of items instanceof PickleList ? items.items : []) {
    const [key, value, ...more] = pair instanceof PickleTuple || pair instanceof PickleList ? pair.items : [];
    if (value !== undefined && more.length === 0 && (typeof key !== 'object' || key === null)) dict.entries.set(key as PickleScalar, value);
  }
  return dict;
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
