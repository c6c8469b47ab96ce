/** The formats beside JPEG and PNG: told by their first bytes, sized by their headers. Pure, bounds-checked; nothing is decoded. */

export const FOREIGN_FORMATS = ['webp', 'gif', 'bmp', 'tiff', 'netpbm'] as const;
export type ForeignFormat = (typeof FOREIGN_FORMATS)[number];

export const isForeign = (format: string): format is ForeignFormat => (FOREIGN_FORMATS as readonly string[]).includes(format);

/** undefined: none of them. */
export function foreignFormat(bytes: Uint8Array): ForeignFormat | undefined {
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(12, bytes.byteLength)).toString('latin1');
  if (start.startsWith('RIFF') && start.slice(8) === 'WEBP') return 'webp';
  if (/^GIF8[79]a/.test(start)) return 'gif';
  if (start.startsWith('BM')) return 'bmp';
  if (start.startsWith('II*\0') || start.startsWith('MM\0*')) return 'tiff';
  return /^P[1-6][\s#]/.test(start) ? 'netpbm' : undefined;
}

/** Pixels. @throws Error with what is wrong, RangeError where the file ends inside its header */
export function foreignSize(format: ForeignFormat, bytes: Uint8Array): { width: number; height: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (format) {
    case 'webp':
      return webpSize(view);
    case 'gif':
      return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
    case 'bmp':
      if (view.getUint32(14, true) === 12) return { width: view.getUint16(18, true), height: view.getUint16(20, true) };
      if (view.getUint32(14, true) < 40) throw new Error(`bmp with a header of ${view.getUint32(14, true)} bytes`);
      return { width: view.getInt32(18, true), height: Math.abs(view.getInt32(22, true)) };
    case 'tiff':
      return tiffSize(view);
    case 'netpbm': {
      const { width, height } = netpbmHeader(bytes);
      return { width, height };
    }
  }
}

function webpSize(view: DataView): { width: number; height: number } {
  const chunk = view.getUint32(12);
  if (chunk === 0x56503858) return { width: 1 + u24(view, 24), height: 1 + u24(view, 27) }; // VP8X
  if (chunk === 0x5650384c) {
    const bits = view.getUint32(21, true); // VP8L
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  if (chunk !== 0x56503820) throw new Error('webp without an image'); // 'VP8 '
  return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
}

const u24 = (view: DataView, at: number): number => view.getUint16(at, true) + view.getUint8(at + 2) * 65_536;

const MAX_TAGS = 4096;
const [WIDTH, HEIGHT, ORIENTATION] = [256, 257, 274];

/** Of the first image, as it is shown. */
function tiffSize(view: DataView): { width: number; height: number } {
  const little = view.getUint8(0) === 0x49;
  const directory = view.getUint32(4, little);
  const count = view.getUint16(directory, little);
  if (count > MAX_TAGS) throw new Error(`tiff with ${count} tags`);
  const found = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const at = directory + 2 + 12 * i;
    const [tag, type] = [view.getUint16(at, little), view.getUint16(at + 2, little)];
    if (tag === WIDTH || tag === HEIGHT || tag === ORIENTATION)
      found.set(tag, type === 3 ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little));
  }
  const [width, height, orientation] = [found.get(WIDTH) ?? 0, found.get(HEIGHT) ?? 0, found.get(ORIENTATION) ?? 1];
  return orientation >= 5 && orientation <= 8 ? { width: height, height: width } : { width, height };
}

export interface NetpbmHeader {
  /** 1 to 6: P1 … P6. */
  readonly kind: number;
  readonly width: number;
  readonly height: number;
  /** 1 for bitmaps. */
  readonly most: number;
  /** First byte of the pixels. */
  readonly start: number;
}

const MAX_HEADER_BYTES = 1 << 16;

/** Words apart by white space, with comments from # to the end of the line, which may begin inside a word. @throws Error */
export function netpbmHeader(bytes: Uint8Array): NetpbmHeader {
  const kind = (bytes[1] as number) - 0x30;
  const wanted = kind === 1 || kind === 4 ? 2 : 3;
  const values: number[] = [];
  let at = 2;
  while (values.length < wanted) {
    let word = '';
    for (; at < Math.min(bytes.length, MAX_HEADER_BYTES); at++) {
      const char = String.fromCharCode(bytes[at] as number);
      if (char === '#') while (at + 1 < bytes.length && bytes[at] !== 0x0a && bytes[at] !== 0x0d) at++;
      else if (/\s/.test(char)) {
        if (word !== '') break;
      } else word += char;
    }
    if (!/^\d{1,6}$/.test(word) || at >= bytes.length) throw new Error('netpbm file without a whole header');
    values.push(Number(word));
  }
  const [width = 0, height = 0, most = 1] = values;
  if (most < 1 || most > 65_535) throw new Error(`netpbm file with values to ${most}`);
  return { kind, width, height, most, start: at + 1 };
}
