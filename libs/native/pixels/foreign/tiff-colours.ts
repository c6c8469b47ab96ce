/** Samples of a TIFF to RGB, as Pillow's convert('RGB') shows them: alpha is dropped. */
import type { TiffLayout } from './plain-tiff.js';

const [WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK] = [0, 1, 2, 3, 5];
const PREMULTIPLIED = 1;

type ColourKind = 'cmyk' | 'rgb' | 'palette' | 'gray';

/** @throws Error for kinds that are not read */
export function tiffColourKind({ samples, depth, photometric, palette, extraSamples }: TiffLayout): ColourKind {
  if (photometric === CMYK && depth === 8 && samples >= 4) return 'cmyk';
  if (photometric === RGB && depth >= 8 && samples >= 3) {
    if (samples > 3 && extraSamples[0] === PREMULTIPLIED) throw new Error('tiff of colours multiplied by alpha');
    return 'rgb';
  }
  if (depth < 8 && samples !== 1) throw new Error(`tiff of ${samples} samples of ${depth} bits`);
  if (photometric === PALETTE && depth <= 8 && palette.length >= 3 << depth) return 'palette';
  if (photometric === BLACK_IS_ZERO || (photometric === WHITE_IS_ZERO && depth <= 8)) return 'gray';
  throw new Error(`tiff of photometric interpretation ${photometric} with ${samples} samples of ${depth} bits`);
}

/** @param data what tiffSamples gives. @throws Error for kinds that are not read */
export function tiffColours(data: Uint8Array, layout: TiffLayout): Uint8Array {
  const { width, height, samples, depth, photometric, palette } = layout;
  const pixels = width * height;
  const rgb = new Uint8Array(3 * pixels);
  const kind = tiffColourKind(layout);
  if (kind === 'cmyk') return fromCmyk(data, samples, rgb);
  if (kind === 'rgb') {
    // Of 16 bits, the upper 8.
    const [step, upper] = depth === 16 ? [2, 1] : [1, 0];
    for (let i = 0; i < pixels; i++) for (let c = 0; c < 3; c++) rgb[3 * i + c] = data[(samples * i + c) * step + upper] as number;
    return rgb;
  }
  const first = firstSamples(data, layout);
  if (kind === 'palette') {
    for (let i = 0; i < pixels; i++)
      for (let c = 0; c < 3; c++) rgb[3 * i + c] = (palette[(c << depth) + (first[i] as number)] as number) >> 8;
    return rgb;
  }
  const most = (1 << depth) - 1;
  for (let i = 0; i < pixels; i++) {
    const value = photometric === BLACK_IS_ZERO ? (first[i] as number) : most - (first[i] as number);
    // As Pillow, which cuts gray of 16 bits off at 255.
    rgb.fill(depth === 16 ? Math.min(255, value) : (value * 255) / most, 3 * i, 3 * i + 3);
  }
  return rgb;
}

/** The first sample of each pixel. */
function firstSamples(data: Uint8Array, { width, height, samples, depth }: TiffLayout): Uint8Array | Uint16Array {
  const pixels = width * height;
  if (depth === 16) {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const values = new Uint16Array(pixels);
    for (let i = 0; i < pixels; i++) values[i] = view.getUint16(2 * samples * i, true);
    return values;
  }
  if (depth === 8 && samples === 1) return data;
  const out = new Uint8Array(pixels);
  if (depth === 8) {
    for (let i = 0; i < pixels; i++) out[i] = data[samples * i] as number;
    return out;
  }
  const rowBytes = Math.ceil((width * depth) / 8);
  for (let y = 0, to = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const bit = x * depth;
      out[to++] = ((data[y * rowBytes + (bit >> 3)] as number) >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
    }
  return out;
}

/** As Pillow: (255 - K) less the share that the ink takes, rounded. */
function fromCmyk(data: Uint8Array, samples: number, rgb: Uint8Array): Uint8Array {
  for (let i = 0; i < rgb.length / 3; i++) {
    const white = 255 - (data[samples * i + 3] as number);
    for (let c = 0; c < 3; c++) {
      const product = (data[samples * i + c] as number) * white + 128;
      rgb[3 * i + c] = Math.max(0, white - (((product >> 8) + product) >> 8));
    }
  }
  return rgb;
}
