/** The element types of a safetensors file, each with the typed array for its views. F16, BF16 and BOOL are raw bits and bytes. */
const VIEWS = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
} as const;

export type Dtype = keyof typeof VIEWS;
export type TensorData = InstanceType<(typeof VIEWS)[Dtype]>;

/** A named array in row-major order: data.length = product of shape (1 for []). */
export interface Tensor {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
  data: TensorData;
}

export const DTYPES = Object.keys(VIEWS) as readonly Dtype[];

export const isDtype = (value: unknown): value is Dtype => typeof value === 'string' && Object.hasOwn(VIEWS, value);

export const bytesPerElement = (dtype: Dtype): number => VIEWS[dtype].BYTES_PER_ELEMENT;

/** @returns undefined if a dimension is not a count, or if the product is too large for an exact integer */
export function elementCount(shape: readonly unknown[]): number | undefined {
  let count = 1;
  let zero = false;
  for (const size of shape) {
    if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
    if (size === 0) zero = true;
    else count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return zero ? 0 : count;
}

/** The tensor's memory as bytes, not copied. */
export const bytesOf = (data: TensorData): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Bytes as elements: a view if the bytes are aligned, or else a copy. `bytes.length` must be a multiple of the element's size. */
export function viewAs(dtype: Dtype, bytes: Uint8Array): TensorData {
  const View = VIEWS[dtype];
  // slice() would copy a Uint8Array, but make a view of a Buffer.
  const aligned = bytes.byteOffset % View.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new View(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / View.BYTES_PER_ELEMENT);
}

/** True if the typed array is the one for views of this element type. */
export const isViewOf = (dtype: Dtype, data: TensorData): boolean => data instanceof VIEWS[dtype];
