/** Digests of a program's weights, to find out whether all members of a group have the same ones. */
import { createHash } from 'node:crypto';
import { turns } from '#bounds/pieces.js';
import type { Program } from '#engine/index.js';

/** Bytes that are hashed at once: about two milliseconds. */
const pieceBytes = 1 << 20;

/** SHA-256 of each parameter, in the order of the model. */
export async function weightDigests(program: Program): Promise<Buffer[]> {
  const turn = turns();
  const digests: Buffer[] = [];
  for (const { data } of await program.readAll('weights')) {
    const hash = createHash('sha256');
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      hash.update(bytes.subarray(at, at + pieceBytes));
      await turn();
    }
    digests.push(hash.digest());
  }
  return digests;
}
