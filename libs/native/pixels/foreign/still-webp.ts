/** The first frame of an animated WebP as a file of its own, since the decoder takes stills. Any other WebP is as it was. */

export interface StillWebp {
  readonly still: Uint8Array;
  /** Where it lies on the canvas. */
  readonly left: number;
  readonly top: number;
}

const CHUNK_HEADER = 8;
const FRAME_HEADER = 16;

/** @throws Error */
export function stillWebp(bytes: Uint8Array): StillWebp {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const whole = { still: bytes, left: 0, top: 0 };
  if (file.toString('latin1', 12, 16) !== 'VP8X' || (file.readUInt8(20) & 0x02) === 0) return whole;
  for (let at = 12; at + CHUNK_HEADER <= file.length; ) {
    const size = file.readUInt32LE(at + 4);
    const body = at + CHUNK_HEADER;
    if (file.toString('latin1', at, at + 4) === 'ANMF') {
      if (size < FRAME_HEADER || body + size > file.length) throw new Error('webp ends inside its first frame');
      const [left, top] = [2 * file.readUIntLE(body, 3), 2 * file.readUIntLE(body + 3, 3)];
      const chunks = file.subarray(body + FRAME_HEADER, body + size);
      const alpha = chunks.toString('latin1', 0, 4) === 'ALPH';
      // With an alpha chunk of its own, a still needs the header that says so and how large it is.
      const header = alpha ? extendedHeader(file.subarray(body + 6, body + 12)) : Buffer.alloc(0);
      return { still: riff(Buffer.concat([header, chunks])), left, top };
    }
    at = body + size + (size % 2);
  }
  throw new Error('webp without a frame');
}

/** @param size width − 1 and height − 1, three bytes each */
function extendedHeader(size: Uint8Array): Buffer {
  const header = Buffer.alloc(18);
  header.write('VP8X', 'latin1');
  header.writeUInt32LE(10, 4);
  header.writeUInt8(0x10, 8);
  header.set(size, 12);
  return header;
}

function riff(chunks: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header.write('RIFF', 'latin1');
  header.writeUInt32LE(4 + chunks.length, 4);
  header.write('WEBP', 8, 'latin1');
  return Buffer.concat([header, chunks]);
}
