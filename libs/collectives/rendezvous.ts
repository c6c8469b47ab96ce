/** What members of a mesh leave in the store for each other: a secret, and the address that each other one must connect to. */
import { orAborted } from '#bounds/or-aborted.js';
import { MeshFailed, type RendezvousStore } from './mesh.js';

/** A secret's length as an array of floats, in which form members send it to each other. */
export const SECRET_FLOATS = 8;
const SECRET_BYTES = 4 * SECRET_FLOATS;
/** An address in Gloo's form. */
const MOST_ADDRESS_BYTES = 1024;

interface Own {
  readonly rank: number;
  readonly size: number;
  readonly secret: Buffer;
  /** By rank; empty for the own one. */
  readonly addresses: readonly Uint8Array[];
}

/** Leaves the own entry, and resolves to what concerns this member of the others' entries, by rank; empty for the own one. */
export async function meetOthers(store: RendezvousStore, own: Own, signal: AbortSignal): Promise<{ secret: Buffer; address: Buffer }[]> {
  await orAborted(store.set(keyOf(own.rank), encode(own)), signal);
  const none = { secret: Buffer.alloc(SECRET_BYTES), address: Buffer.alloc(0) };
  return Promise.all(
    Array.from({ length: own.size }, async (_, peer) => {
      if (peer === own.rank) return none;
      try {
        return decode(await orAborted(store.get(keyOf(peer), signal), signal), own, peer);
      } catch (error) {
        // Of all that did not come, the first one is named.
        throw signal.aborted ? new MeshFailed(peer, 'it left no address', { cause: error }) : error;
      }
    }),
  );
}

const keyOf = (rank: number) => `member-${rank}`;

/** The secret, and for each rank the length of an address in two bytes and the address. */
function encode({ secret, addresses }: Own): Buffer {
  const parts = addresses.flatMap((address) => {
    const length = Buffer.alloc(2);
    length.writeUInt16LE(address.length);
    return [length, address];
  });
  return Buffer.concat([secret, ...parts]);
}

function decode(entry: Uint8Array, { rank, size }: Own, peer: number): { secret: Buffer; address: Buffer } {
  const bytes = Buffer.from(entry);
  const wrong = () => new MeshFailed(peer, 'what it left in the store is not an address of this version');
  let at = SECRET_BYTES;
  let found: Buffer | undefined;
  for (let of = 0; of < size; of++) {
    if (at + 2 > bytes.length) throw wrong();
    const length = bytes.readUInt16LE(at);
    if (length > MOST_ADDRESS_BYTES || at + 2 + length > bytes.length) throw wrong();
    if (of === rank) found = bytes.subarray(at + 2, at + 2 + length);
    at += 2 + length;
  }
  if (at !== bytes.length || found === undefined || found.length === 0) throw wrong();
  return { secret: bytes.subarray(0, SECRET_BYTES), address: found };
}
