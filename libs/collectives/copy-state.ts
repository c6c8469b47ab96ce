import type { Mesh } from './mesh.js';
import { FIRST_OWN_TAG, type Instruction, type MeshProgram, pieces } from './mesh-program.js';

/** Above the tags of the exchange. */
const FIRST_TAG = FIRST_OWN_TAG + 2 ** 29;

/**
 * Copies whole arrays from one member to others, in place. These members call it with arrays of equal lengths in the same order; the rest take no part.
 * The bytes go from one member to the next while they arrive, so that one more costs the first one nothing.
 * @throws RangeError if the members are wrong, or the mesh's own one takes no part
 */
export async function copyState(mesh: Mesh, from: number, to: readonly number[], tensors: readonly Float32Array[]): Promise<void> {
  const chain = [from, ...to];
  const wrong = chain.find((rank, index) => !Number.isInteger(rank) || rank < 0 || rank >= mesh.size || chain.indexOf(rank) !== index);
  if (wrong !== undefined || to.length === 0)
    throw new RangeError(`a copy from member ${from} to ${to.join(', ') || 'nobody'} is not possible`);
  const position = chain.indexOf(mesh.rank);
  if (position === -1) throw new RangeError(`member ${mesh.rank} takes no part in a copy from member ${from} to ${to.join(', ')}`);
  const lengths = tensors.map(({ length }) => length);
  await mesh.run(copyProgram(lengths, chain[position - 1], chain[position + 1]), tensors);
}

/** One member's part: receives from the one before, if there is one, and sends to the one after. */
function copyProgram(lengths: readonly number[], before: number | undefined, after: number | undefined): MeshProgram {
  const parts = lengths.flatMap((length, array) => pieces(0, length).map(({ at, count }) => ({ place: { array, offset: at }, count })));
  // So that members with different arrays wait in vain for each other, and do not take one for another. Pieces of one length stay in order.
  const tag = FIRST_TAG + (lengths.reduce((sum, length, index) => (sum * 31 + length + index) % 2 ** 29, lengths.length) % 2 ** 29);
  const instructions: Instruction[] = [];
  if (before !== undefined) for (const { place, count } of parts) instructions.push({ kind: 'receive', peer: before, tag, place, count });
  if (after !== undefined)
    for (const [transfer, { place, count }] of parts.entries()) {
      if (before !== undefined) instructions.push({ kind: 'wait', transfer });
      instructions.push({ kind: 'send', peer: after, tag, place, count });
    }
  return { instructions, scratch: 0, subnormals: 'keep' };
}
