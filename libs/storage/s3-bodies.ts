import type { IncomingMessage } from 'node:http';
import { asChunks, type Bytes, ObjectTooLarge, StoreUnavailable } from './object-store.js';
import type { Attempt } from './s3-transport.js';

/** Joined only where there is more than one chunk. */
export function concatBytes(bytes: Bytes): Buffer {
  const chunks = asChunks(bytes);
  const [first] = chunks;
  return first !== undefined && chunks.length === 1 ? Buffer.from(first.buffer, first.byteOffset, first.byteLength) : Buffer.concat(chunks);
}

/** The bytes again, in blocks of exactly this size but for the last; a block inside one chunk is a view of it. */
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

/**
 * A whole response body in memory of its own (tensors are viewed in place and need a fresh allocation's alignment).
 * @throws ObjectTooLarge before reading, by the announced length; StoreUnavailable when the body ends early
 */
export async function readBody(key: string, response: IncomingMessage, maxBytes: number, attempt: Attempt): Promise<Buffer> {
  try {
    const announced = Number(response.headers['content-length']);
    if (!Number.isSafeInteger(announced) || announced < 0) throw new StoreUnavailable(`${key}: the answer has no content-length`, false);
    if (announced > maxBytes) throw new ObjectTooLarge(key, announced, maxBytes);
    const bytes = Buffer.allocUnsafeSlow(announced);
    let done = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      attempt.progress();
      done += chunk.copy(bytes, done);
    }
    if (done !== announced) throw new StoreUnavailable(`${key}: ${done} of ${announced} bytes arrived`, true);
    return bytes;
  } finally {
    response.destroy();
  }
}
