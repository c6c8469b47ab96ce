import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { asChunks, type Bytes } from './object-store.js';

/** Bytes hashed in one go before the event loop gets its turn: about 5 ms. */
const STRETCH_BYTES = 4 << 20;

const sha256Pattern = /^[0-9a-f]{64}$/;
/** The format that isSha256 accepts, for messages. */
export const sha256Rule = '64 lower-case hex digits';

/** True if the text has the form of a SHA-256 in names, keys and manifests. */
export function isSha256(text: string): boolean {
  return sha256Pattern.test(text);
}

/** SHA-256 in hexadecimal of any number of bytes; does not block the event loop. @throws the signal's reason */
export async function sha256Of(bytes: Bytes, signal?: AbortSignal): Promise<string> {
  return (await sha256Bytes(bytes, signal)).toString('hex');
}

/** Same as sha256Of, but returns bytes. */
export async function sha256Bytes(bytes: Bytes, signal?: AbortSignal): Promise<Buffer> {
  const hash = createHash('sha256');
  let sinceTurn = 0;
  for (const chunk of asChunks(bytes)) {
    for (let at = 0; at < chunk.byteLength; at += STRETCH_BYTES) {
      const piece = chunk.subarray(at, at + STRETCH_BYTES);
      hash.update(piece);
      sinceTurn += piece.byteLength;
      if (sinceTurn >= STRETCH_BYTES) {
        sinceTurn = 0;
        await nextTurn();
        signal?.throwIfAborted();
      }
    }
  }
  return hash.digest();
}
