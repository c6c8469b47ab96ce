/**
 * BMP to RGB as Pillow's convert('RGB') shows it: 1 to 32 bits a pixel, run lengths, bit masks, OS/2's header. Written here since the libraries at
 * hand misread run lengths, 16 bits a pixel and rows of odd length.
 */

const [RGB, RLE8, RLE4, BIT_FIELDS, ALPHA_BIT_FIELDS] = [0, 1, 2, 3, 6];
const OS2_HEADER = 12;

interface BmpForm {
  readonly depth: number;
  readonly compression: number;
  /** First byte of the pixels. */
  readonly offset: number;
  readonly topDown: boolean;
  /** Bytes of a row; without meaning for run lengths. */
  readonly rowBytes: number;
  readonly masks: readonly number[] | undefined;
  readonly palette: Uint8Array;
}

/** How the pixels lie in the file. @throws Error for kinds that are not read and files that were cut, RangeError where the header ends early */
export function bmpForm(bytes: Uint8Array, width: number, height: number): BmpForm {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [offset, headerBytes] = [file.readUInt32LE(10), file.readUInt32LE(14)];
  const old = headerBytes === OS2_HEADER;
  const depth = file.readUInt16LE(old ? 24 : 28);
  const compression = old ? RGB : file.readUInt32LE(30);
  const topDown = !old && file.readInt32LE(22) < 0;
  const after = 14 + headerBytes;
  const masks =
    compression === BIT_FIELDS || compression === ALPHA_BIT_FIELDS ? [0, 4, 8].map((at) => file.readUInt32LE(54 + at)) : undefined;
  const masksAfter = masks && headerBytes === 40 ? (compression === BIT_FIELDS ? 12 : 16) : 0;
  const colors = depth <= 8 ? Math.min((old ? 0 : file.readUInt32LE(46)) || 1 << depth, 1 << depth) : 0;
  const palette = new Uint8Array(768);
  for (let i = 0; i < colors; i++) {
    const at = after + masksAfter + i * (old ? 3 : 4);
    palette.set([file.readUInt8(at + 2), file.readUInt8(at + 1), file.readUInt8(at)], 3 * i);
  }
  const rowBytes = Math.ceil((width * depth) / 32) * 4;
  if (isRuns(compression)) {
    if (depth !== (compression === RLE8 ? 8 : 4)) throw new Error(`bmp of ${depth} bits a pixel with run lengths of others`);
  } else {
    if (compression !== RGB && !masks) throw new Error(`bmp of compression ${compression}`);
    if (![1, 4, 8, 16, 24, 32].includes(depth) || (masks && depth < 16)) throw new Error(`bmp of ${depth} bits a pixel`);
    // The last row may be without its padding.
    if (offset + rowBytes * (height - 1) + Math.ceil((width * depth) / 8) > file.length) throw new Error('bmp ends inside its pixels');
  }
  return { depth, compression, offset, topDown, rowBytes, masks, palette };
}

const isRuns = (compression: number): boolean => compression === RLE8 || compression === RLE4;

/** @throws Error, RangeError where the file ends early */
export function decodeBmp(bytes: Uint8Array, width: number, height: number): Uint8Array {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { depth, compression, offset, topDown, rowBytes, masks, palette } = bmpForm(bytes, width, height);
  const rgb = new Uint8Array(3 * width * height);
  const start = (y: number) => 3 * width * (topDown ? y : height - 1 - y);
  if (isRuns(compression)) {
    const indices = runs(file, offset, width, height, compression === RLE4);
    for (let y = 0, i = 0; y < height; y++)
      for (let x = 0, to = start(y); x < width; x++, i++, to += 3) {
        const from = 3 * (indices[i] as number);
        for (let c = 0; c < 3; c++) rgb[to + c] = palette[from + c] as number;
      }
    return rgb;
  }
  const pixel = pixelReader(file, depth, palette, masks);
  for (let y = 0; y < height; y++)
    for (let x = 0, to = start(y), row = offset + y * rowBytes; x < width; x++, to += 3) pixel(row, x, rgb, to);
  return rgb;
}

type ReadPixel = (row: number, x: number, rgb: Uint8Array, to: number) => void;

function pixelReader(file: Buffer, depth: number, palette: Uint8Array, masks: readonly number[] | undefined): ReadPixel {
  if (depth <= 8)
    return (row, x, rgb, to) => {
      const bit = x * depth;
      const index = ((file[row + (bit >> 3)] as number) >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
      for (let c = 0; c < 3; c++) rgb[to + c] = palette[3 * index + c] as number;
    };
  if (depth >= 24 && !masks)
    return (row, x, rgb, to) => {
      const at = row + (x * depth) / 8;
      for (let c = 0; c < 3; c++) rgb[to + c] = file[at + 2 - c] as number;
    };
  if (depth === 24) throw new Error('bmp of 24 bits a pixel with masks');
  const channels = (masks ?? [0x7c00, 0x3e0, 0x1f]).map((mask) => {
    const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
    const most = mask >>> shift;
    if (most === 0 || (most & (most + 1)) !== 0) throw new Error(`bmp with the mask 0x${mask.toString(16)}`);
    return { mask, shift, most };
  });
  return (row, x, rgb, to) => {
    const value = depth === 16 ? file.readUInt16LE(row + 2 * x) : file.readUInt32LE(row + 4 * x);
    for (const [c, { mask, shift, most }] of channels.entries()) rgb[to + c] = Math.floor((((value & mask) >>> shift) * 255) / most);
  };
}

/** Indices row by row, in the order of the file. */
function runs(file: Buffer, offset: number, width: number, height: number, nibbles: boolean): Uint8Array {
  const out = new Uint8Array(width * height);
  let [at, to, x] = [offset, 0, 0];
  const put = (index: number): void => {
    if (to < out.length) out[to] = index;
    to++;
  };
  while (to < out.length) {
    const [count, value] = [file.readUInt8(at), file.readUInt8(at + 1)];
    at += 2;
    if (count > 0) {
      const kept = Math.min(count, Math.max(0, width - x));
      for (let i = 0; i < kept; i++) put(nibbles ? (i % 2 === 0 ? value >> 4 : value & 15) : value);
      x += kept;
    } else if (value === 0) {
      to = Math.ceil(to / width) * width;
      x = 0;
    } else if (value === 1) break;
    else if (value === 2) {
      to += file.readUInt8(at) + file.readUInt8(at + 1) * width;
      at += 2;
      x = to % width;
    } else {
      const taken = nibbles ? value >> 1 : value;
      for (let i = 0; i < taken; i++) {
        const byte = file.readUInt8(at + i);
        if (!nibbles) put(byte);
        else for (const index of [byte >> 4, byte & 15]) put(index);
      }
      x += value;
      at += taken;
      at += at % 2;
    }
  }
  if (to < out.length) throw new Error('bmp ends inside its pixels');
  return out;
}
