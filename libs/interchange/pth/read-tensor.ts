import { bytesPerElement, type Dtype, elementCount, type TensorData, viewAs } from '#storage/tensor.js';
import type { ByteSource } from '../byte-source.js';
import type { PickleTensor } from './pickle-values.js';
import { PthError, quoted } from './pth-error.js';
import { dataOffset, type ZipEntry } from './zip-directory.js';

/** Elements that a tensor may repeat by strides of 0, beyond those that it has. */
const MAX_REPEATED_ELEMENTS = 1 << 24;

/**
 * A tensor's elements in row-major order: only the bytes between its first and its last element are read, and copied where its strides
 * are not those of a contiguous one.
 * @param entry of the tensor's storage
 */
export async function readTensor(source: ByteSource, entry: ZipEntry | undefined, tensor: PickleTensor): Promise<TensorData> {
  const { storage, offset, shape, strides } = tensor;
  const part = `storage ${quoted(storage.key)}`;
  const size = bytesPerElement(storage.dtype);
  if (entry === undefined) throw new PthError(part, 'its data is not in the file');
  if (entry.sizeBytes !== storage.elements * size)
    throw new PthError(part, `${entry.sizeBytes} bytes for ${storage.elements} elements of ${storage.dtype}`);
  const elements = elementCount(shape)!;
  if (elements === 0) return viewAs(storage.dtype, new Uint8Array(0));
  if (elements > storage.elements && elements > MAX_REPEATED_ELEMENTS)
    throw new PthError(part, `a tensor of shape [${shape}] repeats its ${storage.elements} elements too often`);
  const span = shape.reduce((sum, count, k) => sum + (count - 1) * strides[k]!, 1);
  const start = (await dataOffset(source, entry)) + offset * size;
  const view = viewAs(storage.dtype, await source.read(start, span * size));
  return isContiguous(shape, strides) ? view : gather(view, storage.dtype, shape, strides, elements);
}

/** Dimensions of one element have no stride that matters. */
function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let due = 1;
  for (let k = shape.length - 1; k >= 0; k--) {
    if (shape[k] !== 1 && strides[k] !== due) return false;
    due *= shape[k]!;
  }
  return true;
}

function gather(view: TensorData, dtype: Dtype, shape: readonly number[], strides: readonly number[], elements: number): TensorData {
  // All of them index alike; one stands for all, so that the loop is written once.
  const out = viewAs(dtype, new Uint8Array(elements * bytesPerElement(dtype))) as Float32Array<ArrayBuffer>;
  const from = view as Float32Array<ArrayBuffer>;
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let i = 0; i < elements; i++) {
    out[i] = from[at]!;
    for (let k = shape.length - 1; k >= 0; k--) {
      at += strides[k]!;
      if (++index[k]! < shape[k]!) break;
      at -= strides[k]! * shape[k]!;
      index[k] = 0;
    }
  }
  return out;
}
