/**
 * The samples of a TIFF's image, its strips or tiles unpacked and joined. Our own, since the library's readers of packed pieces loop for ever or
 * fill the memory on damaged ones: what is unpacked here ends at the size that the image must have.
 */
import { inflateSync } from 'node:zlib';
import { unpackLzw } from './lzw.js';
import { TIFF_COMPRESSION, type TiffLayout } from './plain-tiff.js';

/** @throws Error for planes that are not read */
export function checkTiffPlanes({ planar, depth }: TiffLayout): void {
  if (planar && depth < 8) throw new Error(`tiff of planes of ${depth} bits`);
}

/** Rows of whole bytes, the samples of a pixel side by side; 16-bit samples are little-endian. @throws Error */
export function tiffSamples(file: Uint8Array, layout: TiffLayout): Uint8Array {
  const { width, height, samples, depth, planar, tiled, pieceWidth, pieceHeight } = layout;
  checkTiffPlanes(layout);
  const [planes, together] = planar ? [samples, 1] : [1, samples];
  const [across, down] = [Math.ceil(width / pieceWidth), Math.ceil(height / pieceHeight)];
  const rowBytes = Math.ceil((width * together * depth) / 8);
  const pieceRowBytes = Math.ceil((pieceWidth * together * depth) / 8);
  const out = new Uint8Array(planes * rowBytes * height);
  for (let piece = 0; piece < planes * across * down; piece++) {
    const [plane, row, column] = [Math.floor(piece / (across * down)), Math.floor(piece / across) % down, piece % across];
    const top = row * pieceHeight;
    const rows = Math.min(pieceHeight, height - top);
    const unpacked = unpackPiece(file, layout, piece, pieceRowBytes * (tiled ? pieceHeight : rows));
    if (layout.differences && isDictionary(layout.compression)) addDifferences(unpacked, pieceRowBytes, together, layout);
    const left = column * pieceRowBytes;
    const own = Math.min(pieceRowBytes, rowBytes - left);
    for (let y = 0; y < rows; y++)
      out.set(unpacked.subarray(y * pieceRowBytes, y * pieceRowBytes + own), (plane * height + top + y) * rowBytes + left);
  }
  if (depth === 16 && !layout.littleEndian) Buffer.from(out.buffer).swap16();
  return planar ? interleaved(out, samples, depth / 8) : out;
}

/** Compressions that look for repetitions: differences are taken before them and before no other. */
const isDictionary = (compression: number): boolean =>
  compression === TIFF_COMPRESSION.lzw || compression === TIFF_COMPRESSION.deflate || compression === TIFF_COMPRESSION.oldDeflate;

/** A copy of `length` bytes. */
function unpackPiece(file: Uint8Array, { compression, offsets, lengths }: TiffLayout, piece: number, length: number): Uint8Array {
  const start = offsets[piece] as number;
  const packed = file.subarray(start, start + (lengths[piece] as number));
  switch (compression) {
    case TIFF_COMPRESSION.none: {
      const bytes = file.slice(start, start + length);
      if (bytes.length < length) throw new Error('tiff ends inside its pixels');
      return bytes;
    }
    case TIFF_COMPRESSION.lzw:
      return unpackLzw(packed, length, { format: 'tiff', symbolBits: 8, highFirst: true });
    case TIFF_COMPRESSION.packBits:
      return unpackBits(packed, length);
    default:
      return inflated(packed, length);
  }
}

/** Some writers fill the last strip up to the height of the others, so more may come than is wanted. */
function inflated(packed: Uint8Array, length: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = inflateSync(packed, { maxOutputLength: 2 * length + 65_536 });
  } catch (error) {
    throw new Error(`tiff with a damaged piece: ${(error as Error).message}`, { cause: error });
  }
  if (bytes.length < length) throw new Error('tiff ends inside its pixels');
  return bytes.subarray(0, length);
}

function unpackBits(packed: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length);
  let [from, to] = [0, 0];
  while (to < length) {
    const head = packed[from++];
    if (head === undefined) throw new Error('tiff ends inside its pixels');
    if (head === 128) continue;
    const count = Math.min(head < 128 ? head + 1 : 257 - head, length - to);
    if (head < 128) {
      const run = packed.subarray(from, from + count);
      if (run.length < count) throw new Error('tiff ends inside its pixels');
      out.set(run, to);
      from += count;
    } else {
      if (from >= packed.length) throw new Error('tiff ends inside its pixels');
      out.fill(packed[from++] as number, to, to + count);
    }
    to += count;
  }
  return out;
}

/** @param together samples that lie side by side */
function addDifferences(bytes: Uint8Array, rowBytes: number, together: number, { depth, littleEndian }: TiffLayout): void {
  if (depth < 8) throw new Error(`tiff of differences of ${depth} bits`);
  if (depth === 8) {
    for (let row = 0; row < bytes.length; row += rowBytes)
      for (let at = row + together; at < row + rowBytes; at++) bytes[at] = (bytes[at] as number) + (bytes[at - together] as number);
    return;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let row = 0; row < bytes.length; row += rowBytes)
    for (let at = row + 2 * together; at < row + rowBytes; at += 2)
      view.setUint16(at, view.getUint16(at, littleEndian) + view.getUint16(at - 2 * together, littleEndian), littleEndian);
}

function interleaved(planes: Uint8Array, samples: number, sampleBytes: number): Uint8Array {
  const out = new Uint8Array(planes.length);
  const pixels = planes.length / samples / sampleBytes;
  for (let plane = 0; plane < samples; plane++)
    for (let pixel = 0; pixel < pixels; pixel++)
      for (let byte = 0; byte < sampleBytes; byte++)
        out[(pixel * samples + plane) * sampleBytes + byte] = planes[(plane * pixels + pixel) * sampleBytes + byte] as number;
  return out;
}
