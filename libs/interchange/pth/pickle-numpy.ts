/** Scalars and arrays of numpy in a pickle, as data. */
import { bytesPerElement, type Dtype, elementCount, viewAs } from '#storage/tensor.js';
import { PickleArray, PickleOpaque, PickleTuple, type PickleValue } from './pickle-values.js';
import { PthError } from './pth-error.js';

const DTYPES: Readonly<Record<string, Dtype>> = {
  f8: 'F64',
  f4: 'F32',
  f2: 'F16',
  i8: 'I64',
  i4: 'I32',
  i2: 'I16',
  i1: 'I8',
  u8: 'U64',
  u4: 'U32',
  u2: 'U16',
  u1: 'U8',
  b1: 'BOOL',
};

/** numpy.dtype; other element types than the above (dates, texts, records) are opaque. */
export class NumpyDtype extends PickleOpaque {
  bigEndian = false;

  constructor(readonly dtype: Dtype | undefined) {
    super('numpy.dtype');
  }

  /** State (version, byte order, …). */
  setState(state: PickleValue): void {
    this.bigEndian = state instanceof PickleTuple && state.items[1] === '>';
  }
}

/** numpy.ndarray until its state is known. */
export class NumpyArray extends PickleOpaque {
  array: PickleArray | undefined;

  constructor() {
    super('numpy.ndarray');
  }

  /** State (version, shape, dtype, is column-major, bytes). @throws PthError where they do not fit together */
  setState(state: PickleValue, part: string): void {
    if (!(state instanceof PickleTuple)) return;
    const [, shape, dtype, columns, bytes] = state.items;
    this.array = arrayOf(bytes, dtype, shape, columns === true, part);
  }

  /** _frombuffer(buffer, dtype, shape, order), of protocol 5. */
  static fromBuffer([bytes, dtype, shape, order]: readonly PickleValue[], part: string): PickleValue {
    return arrayOf(bytes, dtype, shape, order === 'F', part) ?? new PickleOpaque('numpy.ndarray');
  }
}

/** dtype('f8', align, copy) */
export const dtypeOf = ([name]: readonly PickleValue[]): NumpyDtype =>
  new NumpyDtype(typeof name === 'string' && Object.hasOwn(DTYPES, name) ? DTYPES[name] : undefined);

/** scalar(dtype, bytes) */
export function scalarOf([dtype, bytes]: readonly PickleValue[], part: string): PickleValue {
  const array = arrayOf(bytes, dtype, new PickleTuple([]), false, part);
  const value = array?.dtype === 'F16' ? undefined : array?.data[0];
  if (value === undefined) return new PickleOpaque('numpy.scalar');
  if (array?.dtype === 'BOOL') return value !== 0;
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** encode(text, 'latin1'): how protocol 2 writes bytes. */
export function codecsEncode([text, encoding]: readonly PickleValue[]): PickleValue {
  if (typeof text !== 'string' || encoding !== 'latin1') return new PickleOpaque('_codecs.encode');
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

function arrayOf(bytes: unknown, dtype: unknown, shape: unknown, columns: boolean, part: string): PickleArray | undefined {
  if (!(dtype instanceof NumpyDtype) || dtype.dtype === undefined || !(bytes instanceof Uint8Array)) return undefined;
  const sizes = shape instanceof PickleTuple ? (shape.items as readonly number[]) : [-1];
  const elements = elementCount(sizes);
  const width = bytesPerElement(dtype.dtype);
  if (elements === undefined || sizes.length > 64 || elements * width !== bytes.byteLength)
    throw new PthError(part, `a numpy array of shape [${sizes}] and ${bytes.byteLength} bytes of ${dtype.dtype}`);
  const own = new Uint8Array(bytes);
  if (dtype.bigEndian) for (let at = 0; at < own.length; at += width) own.subarray(at, at + width).reverse();
  return new PickleArray(dtype.dtype, sizes, viewAs(dtype.dtype, columns ? rowMajor(own, sizes, width) : own));
}

/** From column-major order. */
function rowMajor(bytes: Uint8Array, sizes: readonly number[], width: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  const index = new Array<number>(sizes.length).fill(0);
  const strides = sizes.map((_, k) => sizes.slice(0, k).reduce((product, size) => product * size, width));
  for (let to = 0, from = 0; to < out.length; to += width) {
    out.set(bytes.subarray(from, from + width), to);
    for (let k = sizes.length - 1; k >= 0; k--) {
      from += strides[k]!;
      if (++index[k]! < sizes[k]!) break;
      from -= strides[k]! * sizes[k]!;
      index[k] = 0;
    }
  }
  return out;
}
