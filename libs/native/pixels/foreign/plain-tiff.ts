/**
 * How the first image of a TIFF lies in its file, and a copy of the file with nothing else in it: the decoder of JPEG pieces follows every pointer
 * and makes lists of any length that a tag claims, so what it is given holds only tags that say how pixels lie, each checked against the file.
 */

/** Bytes of one value by type: BYTE, ASCII, SHORT, LONG, RATIONAL and so on. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];
const TAGS = new Set([
  256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347, 529, 530, 532,
]);
/** Compressions that are read, as tag 259 numbers them. */
export const TIFF_COMPRESSION = { none: 1, lzw: 5, jpeg: 7, deflate: 8, oldDeflate: 32_946, packBits: 32_773 } as const;
const COMPRESSIONS = new Set<number>(Object.values(TIFF_COMPRESSION));
/** Others that programs write, by the names that their options have. */
const NOT_READ: Readonly<Record<number, string>> = {
  2: 'CCITT run lengths',
  3: 'CCITT Group 3, of fax',
  4: 'CCITT Group 4, of fax',
  6: 'JPEG of the old kind',
  34661: 'JBIG',
  34712: 'JPEG 2000',
  34887: 'LERC',
  34925: 'LZMA',
  50000: 'Zstandard',
  50001: 'WebP',
  52546: 'JPEG XL',
};
const MAX_TAGS = 4096;
const MAX_BYTES = 256 << 20;
const MAX_PIECES = 1 << 20;

export interface TiffLayout {
  readonly width: number;
  readonly height: number;
  /** Of a pixel. */
  readonly samples: number;
  /** Bits of a sample: 1, 2, 4, 8 or 16. */
  readonly depth: number;
  readonly littleEndian: boolean;
  readonly compression: number;
  /** Tag 262: how samples are colours. */
  readonly photometric: number;
  /** Tag 274: how the image is turned or mirrored to be shown, 1 to 8; 1: as it lies. */
  readonly orientation: number;
  /** Tag 338: what the samples beside the colours are. */
  readonly extraSamples: readonly number[];
  /** Whether samples stand as differences from the pixel to the left. */
  readonly differences: boolean;
  /** Whether each sample has a plane of its own. */
  readonly planar: boolean;
  readonly tiled: boolean;
  /** Pixels of a strip or a tile. */
  readonly pieceWidth: number;
  readonly pieceHeight: number;
  readonly offsets: readonly number[];
  /** Bytes in the file. */
  readonly lengths: readonly number[];
  /** Red, then green, then blue, in 16 bits; empty without a palette. */
  readonly palette: readonly number[];
}

/** @throws Error, RangeError where the file ends early */
export function plainTiff(bytes: Uint8Array): { readonly file: Uint8Array<ArrayBuffer>; readonly layout: TiffLayout } {
  const file = new Uint8Array(bytes);
  const view = new DataView(file.buffer);
  const little = file[0] === 0x49;
  const directory = view.getUint32(4, little);
  const count = view.getUint16(directory, little);
  if (count > MAX_TAGS) throw new Error(`tiff with ${count} tags`);
  const values = new Map<number, number[]>();
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const at = directory + 2 + 12 * i;
    const [tag, type, items] = [view.getUint16(at, little), view.getUint16(at + 2, little), view.getUint32(at + 4, little)];
    if (!TAGS.has(tag) || values.has(tag)) continue;
    const size = TYPE_BYTES[type] ?? 0;
    const start = size * items <= 4 ? at + 8 : view.getUint32(at + 8, little);
    if (size === 0 || items === 0 || start + size * items > file.length || items > MAX_PIECES)
      throw new Error(`tiff with a damaged tag ${tag}`);
    const read = (k: number) =>
      size === 1 ? file[start + k]! : size === 2 ? view.getUint16(start + 2 * k, little) : view.getUint32(start + size * k, little);
    values.set(
      tag,
      Array.from({ length: tag === 347 ? 1 : items }, (_, k) => read(k)),
    );
    file.copyWithin(directory + 2 + 12 * kept++, at, at + 12);
  }
  view.setUint16(directory, kept, little);
  // No further image.
  if (directory + 2 + 12 * kept + 4 <= file.length) view.setUint32(directory + 2 + 12 * kept, 0, little);
  else throw new Error('tiff ends inside its tags');
  return { file, layout: layoutOf(values, little, file.length) };
}

function layoutOf(values: ReadonlyMap<number, readonly number[]>, littleEndian: boolean, fileBytes: number): TiffLayout {
  const one = (tag: number, otherwise: number): number => values.get(tag)?.[0] ?? otherwise;
  const [width, height, samples, depth] = [one(256, 0), one(257, 0), one(277, 1), one(258, 1)];
  const compression = one(259, 1);
  if (!COMPRESSIONS.has(compression)) {
    const name = NOT_READ[compression];
    const named = name === undefined ? '' : ` (${name})`;
    throw new Error(
      `tiff of compression ${compression}${named}, which is not read; save it with LZW, deflate, PackBits, JPEG or no compression`,
    );
  }
  if ((values.get(258) ?? []).some((bits) => bits !== depth)) throw new Error(`tiff of ${values.get(258)?.join(', ')} bits a sample`);
  if (one(339, 1) !== 1) throw new Error('tiff of numbers that are not whole or have signs');
  if (one(266, 1) !== 1) throw new Error('tiff with the bits of its bytes in reversed order');
  if (samples < 1 || samples > 8 || ![1, 2, 4, 8, 16].includes(depth)) throw new Error(`tiff of ${samples} samples of ${depth} bits`);
  if ((width * height * samples * depth) / 8 > MAX_BYTES) throw new Error(`tiff of ${width} x ${height} pixels of ${samples} samples`);
  const tiled = values.has(322) || values.has(324);
  const [pieceWidth, pieceHeight] = tiled ? [one(322, 0), one(323, 0)] : [width, Math.min(one(278, height), height)];
  if (pieceWidth < 1 || pieceHeight < 1 || (tiled && (pieceWidth > 16_384 || pieceHeight > 16_384)))
    throw new Error(`tiff in pieces of ${pieceWidth} x ${pieceHeight} pixels`);
  const planar = one(284, 1) === 2 && samples > 1;
  const planes = planar ? samples : 1;
  const wanted = Math.ceil(width / pieceWidth) * Math.ceil(height / pieceHeight) * planes;
  const [offsets, lengths] = [values.get(tiled ? 324 : 273) ?? [], values.get(tiled ? 325 : 279)];
  if (offsets.length !== wanted || (lengths !== undefined && lengths.length !== wanted) || (lengths === undefined && wanted > 1))
    throw new Error(`tiff of ${offsets.length} pieces where ${wanted} are due`);
  if ((wanted * pieceWidth * pieceHeight * (samples / planes) * depth) / 8 > MAX_BYTES)
    throw new Error(`tiff in ${wanted} pieces of ${pieceWidth} x ${pieceHeight} pixels`);
  for (const [i, offset] of offsets.entries()) if (offset + (lengths?.[i] ?? 1) > fileBytes) throw new Error('tiff ends inside its pixels');
  return {
    width,
    height,
    samples,
    depth,
    littleEndian,
    compression,
    photometric: one(262, 0),
    orientation: one(274, 1),
    extraSamples: values.get(338) ?? [],
    differences: one(317, 1) !== 1,
    planar,
    tiled,
    pieceWidth,
    pieceHeight,
    offsets,
    lengths: lengths ?? offsets.map((offset) => fileBytes - offset),
    palette: values.get(320) ?? [],
  };
}
