/**
 * Reads a PNG file up to its inflated scanlines. This code reads the chunks and inflates them with zlib off the event loop; the addon's png.cc
 * reverses the filters and converts to RGB. Checksums of chunks are not checked: zlib checks the pixels, and the manifest's hash checks the whole
 * file.
 */
import { constants, createInflate, inflate } from 'node:zlib';
import { isPng, MAX_IMAGE_AREA, MAX_IMAGE_SIDE } from './image-header.js';

/** Largest number of inflated bytes of one image; larger images are rejected. */
const MAX_SCANLINE_BYTES = 256 * 2 ** 20;

const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PASSES = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const;

/** A PNG that cannot be read. The message becomes the reason in the outcome. */
class PngError extends Error {
  override readonly name = 'PngError';
  constructor(reason: string, options?: ErrorOptions) {
    super(`png: ${reason}`, options);
  }
}

export interface PngLayout {
  width: number;
  height: number;
  bitDepth: number;
  colorType: number;
  interlaced: boolean;
  /** Three bytes for each entry, or null. */
  palette: Uint8Array | null;
  /** Inflated size, including the filter bytes. */
  scanlineBytes: number;
  /** The zlib stream, in pieces. */
  data: Uint8Array[];
}

function scanlineBytes(width: number, height: number, bits: number, interlaced: boolean): number {
  const passes = interlaced ? PASSES : [[0, 0, 1, 1] as const];
  let bytes = 0;
  for (const [x0, y0, dx, dy] of passes) {
    const columns = Math.max(0, Math.ceil((width - x0) / dx));
    const rows = Math.max(0, Math.ceil((height - y0) / dy));
    if (columns > 0) bytes += rows * (1 + Math.ceil((columns * bits) / 8));
  }
  return bytes;
}

/** Reads the chunks and sizes of a PNG file without inflating anything. Throws PngError. */
export function readPngLayout(file: Uint8Array): PngLayout {
  if (!isPng(file)) throw new PngError('no PNG signature');
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let header: Omit<PngLayout, 'palette' | 'data'> | undefined;
  let palette: Uint8Array | null = null;
  let ended = false;
  const data: Uint8Array[] = [];
  for (let at = 8; !ended; ) {
    // As Pillow: a file may end anywhere behind its pixels. Whether they are all there shows when they are inflated.
    if (data.length > 0 && at + 8 > view.byteLength) break;
    if (at + 8 > view.byteLength) throw new PngError('file ends early');
    const length = view.getUint32(at);
    const type = String.fromCharCode(...file.subarray(at + 4, at + 8));
    const whole = at + 12 + length <= view.byteLength;
    if (!whole && type !== 'IDAT' && data.length === 0) throw new PngError('file ends early');
    const body = file.subarray(at + 8, at + 8 + length);
    if (!header && (type === 'PLTE' || type === 'IDAT' || type === 'IEND')) throw new PngError('does not start with IHDR');
    if (type === 'IHDR') {
      if (length < 13 || data.length > 0) throw new PngError('bad IHDR');
      const [width, height] = [view.getUint32(at + 8), view.getUint32(at + 12)];
      const [bitDepth, colorType, , filter, interlace] = [...body.subarray(8)] as [number, number, number, number, number];
      // The one whose size is known from the file's header counts; Pillow takes the last one.
      if (header && (header.width !== width || header.height !== height)) throw new PngError('two IHDR of different sizes');
      const bits = (CHANNELS[colorType] ?? 0) * bitDepth;
      if (width < 1 || height < 1 || Math.max(width, height) > MAX_IMAGE_SIDE || width * height > MAX_IMAGE_AREA) {
        throw new PngError(`image of ${width} x ${height} pixels`);
      }
      // The addon checks that the depth is allowed with the colour type.
      if (bits < 1 || ![1, 2, 4, 8, 16].includes(bitDepth) || filter !== 0 || interlace > 1) throw new PngError('unknown kind of image');
      const bytes = scanlineBytes(width, height, bits, interlace === 1);
      if (bytes > MAX_SCANLINE_BYTES) throw new PngError(`${bytes} bytes inflated: at most ${MAX_SCANLINE_BYTES} are read`);
      header = { width, height, bitDepth, colorType, interlaced: interlace === 1, scanlineBytes: bytes };
    } else if (type === 'PLTE') {
      if (length > 768) throw new PngError('bad palette');
      // As Pillow: a palette behind pixels comes too late, and an entry that is cut is none.
      if (data.length === 0) palette = body.subarray(0, length - (length % 3));
    } else if (type === 'IDAT') {
      data.push(body);
    } else if (type === 'IEND') {
      ended = true;
    }
    at += 12 + length;
  }
  if (!header || data.length === 0) throw new PngError('no image data');
  return { ...header, palette: header.colorType === 3 ? wholePalette(palette) : palette, data };
}

/** Palette indices without an entry are black, as in Pillow. */
function wholePalette(entries: Uint8Array | null): Uint8Array {
  const palette = new Uint8Array(768);
  palette.set(entries ?? []);
  return palette;
}

/**
 * Inflates the scanlines of `layout` as Pillow does: bytes after them are ignored, even a missing checksum is accepted, and lines that a complete
 * stream lacks are zeros. Throws PngError.
 */
export async function inflateScanlines(layout: PngLayout): Promise<Uint8Array> {
  const packed = Buffer.concat(layout.data);
  try {
    const lines = await inflateUpTo(packed, layout.scanlineBytes);
    if (lines.byteLength === layout.scanlineBytes) return lines;
    // Fewer: of a stream that is whole, or of one that was cut.
    await inflateWhole(packed, layout.scanlineBytes);
    const padded = new Uint8Array(layout.scanlineBytes);
    padded.set(lines);
    return padded;
  } catch (cause) {
    throw new PngError(`image data does not inflate (${(cause as Error).message})`, { cause });
  }
}

function inflateUpTo(packed: Uint8Array, most: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    const stream = createInflate({ finishFlush: constants.Z_SYNC_FLUSH, chunkSize: Math.max(64, Math.min(most + 1, 1 << 20)) });
    const finish = (): void => resolve(parts.length === 1 && bytes <= most ? parts[0]! : Buffer.concat(parts).subarray(0, most));
    stream.on('data', (part: Buffer) => {
      parts.push(part);
      bytes += part.byteLength;
      if (bytes <= most) return;
      stream.destroy();
      finish();
    });
    stream.on('end', finish);
    stream.on('error', reject);
    stream.end(packed);
  });
}

function inflateWhole(packed: Uint8Array, most: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    inflate(packed, { maxOutputLength: most }, (error, result) => (error ? reject(error) : resolve(result)));
  });
}
