/**
 * A TIFF with nothing in it but its first image: the decoder follows every pointer and makes lists of any length that a tag claims, so what it is
 * given holds only tags that say how pixels lie, each checked against the file.
 */

/** Bytes of one value by type: BYTE, ASCII, SHORT, LONG, RATIONAL and so on. */
const TYPE_BYTES = [0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8];
const TAGS = new Set([
  256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339, 347, 529, 530, 532,
]);
/** None, CCITT's three, LZW, JPEG, deflate (two numbers), PackBits. */
const COMPRESSIONS = new Set([1, 2, 3, 4, 5, 7, 8, 32_946, 32_773]);
const MAX_TAGS = 4096;
const MAX_BYTES = 256 << 20;
const MAX_PIECES = 1 << 20;

/** @throws Error, RangeError where the file ends early */
export function plainTiff(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
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
      Array.from({ length: tag === 347 || tag === 320 ? 1 : items }, (_, k) => read(k)),
    );
    file.copyWithin(directory + 2 + 12 * kept++, at, at + 12);
  }
  view.setUint16(directory, kept, little);
  // No further image.
  if (directory + 2 + 12 * kept + 4 <= file.length) view.setUint32(directory + 2 + 12 * kept, 0, little);
  else throw new Error('tiff ends inside its tags');
  check(values, file.length);
  return file;
}

function check(values: ReadonlyMap<number, readonly number[]>, fileBytes: number): void {
  const one = (tag: number, otherwise: number): number => values.get(tag)?.[0] ?? otherwise;
  const [width, height, samples, depth] = [one(256, 0), one(257, 0), one(277, 1), one(258, 1)];
  const compression = one(259, 1);
  if (!COMPRESSIONS.has(compression)) throw new Error(`tiff of compression ${compression}`);
  if (samples > 8 || ![1, 2, 4, 8, 16].includes(depth)) throw new Error(`tiff of ${samples} samples of ${depth} bits`);
  if ((width * height * samples * depth) / 8 > MAX_BYTES) throw new Error(`tiff of ${width} x ${height} pixels of ${samples} samples`);
  const tiled = values.has(322) || values.has(324);
  const [pieceWidth, pieceHeight] = tiled ? [one(322, 0), one(323, 0)] : [width, Math.min(one(278, height), height)];
  if (pieceWidth < 1 || pieceHeight < 1 || (tiled && (pieceWidth > 16_384 || pieceHeight > 16_384)))
    throw new Error(`tiff in pieces of ${pieceWidth} x ${pieceHeight} pixels`);
  const planes = one(284, 1) === 2 ? samples : 1;
  const wanted = Math.ceil(width / pieceWidth) * Math.ceil(height / pieceHeight) * planes;
  const [offsets, lengths] = [values.get(tiled ? 324 : 273) ?? [], values.get(tiled ? 325 : 279)];
  if (offsets.length !== wanted || (lengths !== undefined && lengths.length !== wanted) || (lengths === undefined && wanted > 1))
    throw new Error(`tiff of ${offsets.length} pieces where ${wanted} are due`);
  for (const [i, offset] of offsets.entries()) if (offset + (lengths?.[i] ?? 1) > fileBytes) throw new Error('tiff ends inside its pixels');
}
