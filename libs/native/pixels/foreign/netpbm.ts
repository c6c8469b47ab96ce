/** PBM, PGM and PPM, plain and raw, to RGB as Pillow's convert('RGB') shows them. */
import { type NetpbmHeader, netpbmHeader } from './formats.js';

/** @throws Error where pixels are missing, or numbers of a plain file above the largest value */
export function decodeNetpbm(bytes: Uint8Array): Uint8Array {
  const header = netpbmHeader(bytes);
  const { kind, width, height, most, start } = header;
  const channels = kind === 3 || kind === 6 ? 3 : 1;
  const count = width * height * channels;
  const values = kind <= 3 ? plainValues(bytes, start, count, kind === 1) : rawValues(bytes, header, count);
  const rgb = new Uint8Array(3 * width * height);
  for (let i = 0; i < rgb.length; i++) {
    const value = values[channels === 3 ? i : Math.floor(i / 3)] as number;
    // Pillow shows values that are too large in raw files as the largest.
    if (value > most && kind <= 3) throw new Error(`netpbm value ${value} above ${most}`);
    rgb[i] = shown(value, kind, most);
  }
  return rgb;
}

/** Pillow keeps gray of more than 8 bits as 32-bit numbers of 16 bits, and cuts them off at 255 when it makes bytes of them. */
function shown(value: number, kind: number, most: number): number {
  if (kind === 1 || kind === 4) return value === 0 ? 255 : 0;
  if (most === 255) return value;
  const gray = kind === 2 || kind === 5;
  if (gray && most > 255) return Math.min(255, halfEven((value / most) * 65_535));
  return Math.min(255, halfEven((value / most) * 255));
}

/** As Python rounds. */
function halfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** The byte behind the pixels of a raw file; behind the header of a plain one, whose numbers have any length. */
export function rawNetpbmEnd({ kind, width, height, most, start }: NetpbmHeader): number {
  if (kind <= 3) return start;
  if (kind === 4) return start + Math.ceil(width / 8) * height;
  return start + width * height * (kind === 6 ? 3 : 1) * (most > 255 ? 2 : 1);
}

function rawValues(bytes: Uint8Array, header: NetpbmHeader, count: number): Uint16Array | Uint8Array {
  const { kind, width, most, start } = header;
  const end = rawNetpbmEnd(header);
  if (end > bytes.length) throw new Error('netpbm file ends inside its pixels');
  const row = Math.ceil(width / 8);
  const wide = most > 255;
  const data = bytes.subarray(start, end);
  if (kind === 4) {
    const bits = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const x = i % width;
      bits[i] = ((data[Math.floor(i / width) * row + (x >> 3)] as number) >> (7 - (x & 7))) & 1;
    }
    return bits;
  }
  if (!wide) return data;
  const values = new Uint16Array(count);
  for (let i = 0; i < count; i++) values[i] = (data[2 * i] as number) * 256 + (data[2 * i + 1] as number);
  return values;
}

/** Digits of a bitmap need no space between them. */
function plainValues(bytes: Uint8Array, start: number, count: number, bits: boolean): Uint16Array {
  const values = new Uint16Array(count);
  let [found, at] = [0, start];
  while (found < count) {
    while (at < bytes.length && isSpace(bytes[at] as number)) at++;
    if (bytes[at] === 0x23) {
      while (at < bytes.length && bytes[at] !== 0x0a) at++;
      continue;
    }
    let [value, digits] = [0, 0];
    while (at < bytes.length && isDigit(bytes[at] as number) && !(bits && digits === 1) && digits < 6) {
      value = 10 * value + (bytes[at++] as number) - 0x30;
      digits++;
    }
    if (digits === 0)
      throw new Error(at >= bytes.length ? 'netpbm file ends inside its pixels' : `netpbm pixels at byte ${at} are no numbers`);
    if (value > 65_535) throw new Error(`netpbm value ${value}`);
    values[found++] = value;
  }
  return values;
}

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39;
