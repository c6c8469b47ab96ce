/**
 * Images of the formats beside JPEG and PNG to RGB, as Pillow's convert('RGB') shows their first frame: alpha is dropped. Runs in a worker thread,
 * since these decoders are slow and hold their thread. Sizes are checked by the caller before.
 */
import { createRequire } from 'node:module';
import UTIF from 'utif2';
import { decodeBmp } from './bmp.js';
import { checkJpegPieces } from './check-foreign.js';
import { type ForeignFormat, foreignSize } from './formats.js';
import { gifIndices, gifRows } from './gif-codes.js';
import { firstGifFrame } from './gif-frame.js';
import { decodeNetpbm } from './netpbm.js';
import { oriented } from './oriented.js';
import { plainTiff, TIFF_COMPRESSION, type TiffLayout } from './plain-tiff.js';
import { stillWebp } from './still-webp.js';
import { tiffColours } from './tiff-colours.js';
import { tiffSamples } from './tiff-samples.js';

const require = createRequire(import.meta.url);
/** It has no types of its own. */
const webp = require('@cwasm/webp') as {
  decode(bytes: Uint8Array): { width: number; height: number; data: Uint8Array };
};

export interface DecodedForeign {
  readonly width: number;
  readonly height: number;
  /** Interleaved. */
  readonly rgb: Uint8Array;
}

/** @throws Error */
export function decodeForeign(format: ForeignFormat, bytes: Uint8Array): DecodedForeign {
  const { width, height } = foreignSize(format, bytes);
  const rgb = decoders[format](bytes, width, height);
  if (rgb.length !== 3 * width * height) throw new Error(`${format} of another size than its header says`);
  return { width, height, rgb };
}

const decoders: Record<ForeignFormat, (bytes: Uint8Array, width: number, height: number) => Uint8Array> = {
  webp: (bytes, width, height) => {
    const { still, left, top } = stillWebp(bytes);
    const image = webp.decode(still);
    return placed(image.data, image.width, image.height, { width, height, left, top });
  },
  gif: (bytes, width, height) => {
    const { x, y, width: columns, height: rows, palette_offset: palette, ...frame } = firstGifFrame(bytes, width, height);
    const indices = gifIndices(bytes, frame.data_offset, columns * rows);
    // What the frame does not cover has the colour of index 0, or of the transparent one; the frame itself is opaque.
    const shown = new Uint8Array(width * height).fill(frame.transparent_index ?? 0);
    let row = 0;
    for (const to of gifRows(rows, frame.interlaced)) shown.set(indices.subarray(columns * row, columns * ++row), (y + to) * width + x);
    // Plain loops here and in its neighbours: Uint8Array.from takes longer for the largest images than a thread may.
    const rgb = new Uint8Array(3 * shown.length);
    for (let i = 0, to = 0; i < shown.length; i++, to += 3) {
      const index = shown[i] as number;
      if (index < frame.palette_size) for (let c = 0; c < 3; c++) rgb[to + c] = bytes[palette + 3 * index + c] ?? 0;
    }
    return rgb;
  },
  bmp: decodeBmp,
  tiff: decodeTiff,
  netpbm: decodeNetpbm,
};

function withoutAlpha(rgba: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from] as number;
    rgb[to + 1] = rgba[from + 1] as number;
    rgb[to + 2] = rgba[from + 2] as number;
  }
  return rgb;
}

/** An image on a canvas that is black elsewhere. */
function placed(
  rgba: Uint8Array,
  width: number,
  height: number,
  canvas: { readonly width: number; readonly height: number; readonly left: number; readonly top: number },
): Uint8Array {
  const own = withoutAlpha(rgba);
  if (width === canvas.width && height === canvas.height) return own;
  if (canvas.left + width > canvas.width || canvas.top + height > canvas.height) throw new Error('a frame that leaves its canvas');
  const rgb = new Uint8Array(3 * canvas.width * canvas.height);
  for (let y = 0; y < height; y++)
    rgb.set(own.subarray(3 * width * y, 3 * width * (y + 1)), 3 * (canvas.width * (canvas.top + y) + canvas.left));
  return rgb;
}

function decodeTiff(bytes: Uint8Array): Uint8Array {
  const { file, layout } = plainTiff(bytes);
  const rgb = layout.compression === TIFF_COMPRESSION.jpeg ? jpegPieces(file, layout) : tiffColours(tiffSamples(file, layout), layout);
  return oriented(rgb, layout);
}

interface TiffPage {
  width: number;
  height: number;
  data: Uint8Array;
}

/** The library does not bound what a piece's own header claims, so that is looked at first. */
function jpegPieces(file: Uint8Array<ArrayBuffer>, layout: TiffLayout): Uint8Array {
  const { width, height, samples } = layout;
  checkJpegPieces(file, layout);
  const page = UTIF.decode(file.buffer)[0] as unknown as TiffPage | undefined;
  if (page === undefined) throw new Error('tiff without an image');
  // The library writes three samples for a pixel of gray too, so it has to be told that there is room for them.
  if (samples === 1) Object.assign(page, { t258: [8, 8, 8], t262: [2], t277: [3] });
  UTIF.decodeImage(file.buffer, page as never);
  if (page.width !== width || page.height !== height || page.data.length < width * height * 3)
    throw new Error('tiff ends inside its pixels');
  const rgb = withoutAlpha(UTIF.toRGBA8(page as never));
  if (layout.photometric === 0) for (let i = 0; i < rgb.length; i++) rgb[i] = 255 - (rgb[i] as number);
  return rgb;
}
