import type { IncomingMessage } from 'node:http';
import { asChunks, type Bytes, type GetOptions, ObjectTooLarge, StoreUnavailable } from './object-store.js';

/** Copies only if there is more than one chunk. */
export function concatBytes(bytes: Bytes): Buffer {
  const chunks = asChunks(bytes);
  const [first] = chunks;
  return first !== undefined && chunks.length === 1 ? Buffer.from(first.buffer, first.byteOffset, first.byteLength) : Buffer.concat(chunks);
}

/** Splits the bytes into blocks of exactly this size, except for the last one. A block inside one chunk is a view of it. */
export function* blocksOf(bytes: Bytes, blockBytes: number): Generator<Buffer> {
  let gathered: Uint8Array[] = [];
  let gatheredBytes = 0;
  for (const chunk of asChunks(bytes)) {
    for (let at = 0; at < chunk.byteLength; ) {
      const piece = chunk.subarray(at, at + blockBytes - gatheredBytes);
      gathered.push(piece);
      gatheredBytes += piece.byteLength;
      at += piece.byteLength;
      if (gatheredBytes === blockBytes) {
        yield concatBytes(gathered);
        gathered = [];
        gatheredBytes = 0;
      }
    }
  }
  if (gatheredBytes > 0) yield concatBytes(gathered);
}

interface ReadBodyOptions extends Pick<GetOptions, 'allocate'> {
  readonly maxBytes: number;
  readonly onProgress: () => void;
}

/**
 * Reads a whole response body into memory of its own, because tensors are views of it and need the alignment of a fresh allocation.
 * @throws ObjectTooLarge before reading, by the content-length; StoreUnavailable if the body ends early
 */
export async function readBody(
  key: string,
  response: IncomingMessage,
  { maxBytes, onProgress, allocate }: ReadBodyOptions,
): Promise<Buffer> {
  try {
    const announced = Number(response.headers['content-length']);
    if (!Number.isSafeInteger(announced) || announced < 0) throw new StoreUnavailable(`${key}: the answer has no content-length`, false);
    if (announced > maxBytes) throw new ObjectTooLarge(key, announced, maxBytes);
    const bytes = allocate === undefined ? Buffer.allocUnsafeSlow(announced) : Buffer.from(allocate(announced));
    let done = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      onProgress();
      done += chunk.copy(bytes, done);
    }
    if (done !== announced) throw new StoreUnavailable(`${key}: ${done} of ${announced} bytes arrived`, true);
    return bytes;
  } finally {
    response.destroy();
  }
}
