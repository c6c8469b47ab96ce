/** Reads the format and size of an image file from its first bytes without decoding it; for indexing. Pure and bounds-checked. */

import { type ForeignFormat, foreignFormat, foreignSize } from './foreign/formats.js';
import { unreadFile } from './unread-files.js';

export type FileFormat = 'jpeg' | 'png' | ForeignFormat;

export interface ImageHeader {
  format: FileFormat;
  /** Width in pixels as stored; EXIF orientation is ignored. */
  width: number;
  height: number;
}

/** The bytes are not the start of a readable image file. `offset` is the byte at which reading stopped. */
export class ImageHeaderError extends Error {
  override readonly name = 'ImageHeaderError';
  constructor(
    readonly reason: string,
    readonly offset: number,
  ) {
    super(`image header: ${reason} (byte ${offset})`);
  }
}

/** Number of pixels of the largest image that is decoded: kMaxArea of image.h. */
export const MAX_IMAGE_AREA = 64_000_000;
/** Longest side: kMaxSide of image.h. */
export const MAX_IMAGE_SIDE = 65_535;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

export function isPng(bytes: Uint8Array): boolean {
  return PNG_SIGNATURE.every((byte, i) => bytes[i] === byte);
}

function sized(format: ImageHeader['format'], width: number, height: number, offset: number): ImageHeader {
  if (!(width >= 1 && height >= 1)) throw new ImageHeaderError(`${format} of ${width} x ${height} pixels`, offset);
  return { format, width, height };
}

function readPngHeader(bytes: Uint8Array): ImageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Apple's files have a chunk of their own before it.
  for (let at = 8; at + 16 <= view.byteLength; at += 12 + view.getUint32(at)) {
    const type = view.getUint32(at + 4);
    if (type === IHDR) return sized('png', view.getUint32(at + 8), view.getUint32(at + 12), at + 8);
    if (type === IDAT) throw new ImageHeaderError('png does not start with IHDR', at);
  }
  throw new ImageHeaderError('png ends inside its header', view.byteLength);
}

const [IHDR, IDAT] = [0x49484452, 0x49444154];

/** Start-of-frame markers: C0 … CF without DHT (C4), JPG (C8), DAC (CC). */
function isStartOfFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readJpegHeader(bytes: Uint8Array): ImageHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 2;
  while (at < view.byteLength) {
    if (view.getUint8(at) !== 0xff) {
      at++; // bytes between segments, which the decoder skips, too
      continue;
    }
    while (at < view.byteLength && view.getUint8(at) === 0xff) at++;
    if (at >= view.byteLength) break;
    const marker = view.getUint8(at++);
    if (marker === 0x00 || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue; // no length follows
    if (marker === 0xd9 || marker === 0xda) throw new ImageHeaderError('jpeg has no frame header', at);
    if (at + 2 > view.byteLength) break;
    const length = view.getUint16(at);
    if (length < 2) throw new ImageHeaderError(`jpeg segment of length ${length}`, at);
    if (isStartOfFrame(marker)) {
      if (at + 7 > view.byteLength) break;
      return sized('jpeg', view.getUint16(at + 5), view.getUint16(at + 3), at);
    }
    at += length;
  }
  throw new ImageHeaderError('jpeg ends before its frame header', Math.min(at, view.byteLength));
}

/** `bytes` is the file, or enough of its start (a JPEG's metadata may take many kilobytes). Throws ImageHeaderError. */
export function readHeader(bytes: Uint8Array): ImageHeader {
  if (isPng(bytes)) return readPngHeader(bytes);
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return readJpegHeader(bytes);
  const format = foreignFormat(bytes);
  if (format === undefined) throw new ImageHeaderError(unreadFile(bytes) ?? 'none of JPEG, PNG, WebP, GIF, BMP, TIFF and PPM', 0);
  try {
    const { width, height } = foreignSize(format, bytes);
    return sized(format, width, height, 0);
  } catch (error) {
    if (error instanceof ImageHeaderError) throw error;
    throw new ImageHeaderError(
      error instanceof RangeError ? `${format} ends inside its header` : (error as Error).message,
      bytes.byteLength,
    );
  }
}

/** What a file is by its first bytes; a JPEG where that is unknown, so that its decoder says what is wrong. */
export function formatOf(bytes: Uint8Array): FileFormat {
  return isPng(bytes) ? 'png' : (foreignFormat(bytes) ?? 'jpeg');
}
