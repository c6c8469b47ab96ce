/** Baseline JPEG files of random coefficients: every sampling, size, table and restart interval that a test asks for. Not photographs, but valid. */

export interface JpegShape {
  width: number;
  height: number;
  /** 1: gray; 3: Y'CbCr. */
  components: 1 | 3;
  /** Luma blocks of an MCU, across and down; chroma has one. */
  sampling: readonly [number, number];
  /** MCUs between restart markers; 0: none. */
  restart: number;
  /** Largest size in bits of a coefficient other than DC, 1 to 10. */
  bits: number;
  /** Entry of both quantisation tables. */
  quant: number;
}

const ZERO_RUN = 0xf0;
/** Codes by length, 1 to 16 bits: two of 2, one of 3, four of 5, … so that short, long and longest codes all occur. */
const AC_COUNTS = [0, 2, 1, 0, 4, 0, 0, 16, 0, 60, 0, 49, 0, 0, 0, 30];
const AC_SYMBOLS = [
  0x01,
  0x00,
  0x02,
  ...Array.from({ length: 160 }, (_, i) => 16 * Math.floor(i / 10) + 1 + (i % 10)).filter((symbol) => symbol > 2),
  ZERO_RUN,
];
const DC_COUNTS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0];
const DC_SYMBOLS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

/** symbol → [code, length] */
function codesOf(counts: readonly number[], symbols: readonly number[]): Map<number, [number, number]> {
  const codes = new Map<number, [number, number]>();
  let code = 0;
  let next = 0;
  counts.forEach((count, i) => {
    for (let k = 0; k < count; k++) codes.set(symbols[next++]!, [code++, i + 1]);
    code *= 2;
  });
  return codes;
}

/** `draw(n)`: a whole number of 0 to n − 1. */
export function randomJpeg(shape: JpegShape, draw: (below: number) => number): Uint8Array {
  const out: number[] = [0xff, 0xd8];
  const segment = (marker: number, body: readonly number[]) => {
    out.push(0xff, marker, (body.length + 2) >> 8, (body.length + 2) & 255, ...body);
  };
  segment(0xdb, [0, ...new Array<number>(64).fill(shape.quant)]);
  const [h, v] = shape.components === 1 ? [1, 1] : shape.sampling;
  const frame = [8, shape.height >> 8, shape.height & 255, shape.width >> 8, shape.width & 255, shape.components];
  for (let c = 0; c < shape.components; c++) frame.push(c + 1, c === 0 ? 16 * h + v : 0x11, 0);
  segment(0xc0, frame);
  segment(0xc4, [0x00, ...DC_COUNTS, ...DC_SYMBOLS]);
  segment(0xc4, [0x10, ...AC_COUNTS, ...AC_SYMBOLS]);
  if (shape.restart > 0) segment(0xdd, [shape.restart >> 8, shape.restart & 255]);
  const scan: number[] = [shape.components];
  for (let c = 0; c < shape.components; c++) scan.push(c + 1, 0x00);
  segment(0xda, [...scan, 0, 63, 0]);

  const [dcCodes, acCodes] = [codesOf(DC_COUNTS, DC_SYMBOLS), codesOf(AC_COUNTS, AC_SYMBOLS)];
  let held = 0;
  let bits = 0;
  const put = (value: number, length: number) => {
    for (let i = length - 1; i >= 0; i--) {
      held = held * 2 + ((value >> i) & 1);
      if (++bits < 8) continue;
      out.push(held);
      if (held === 0xff) out.push(0);
      [held, bits] = [0, 0];
    }
  };
  const flush = () => {
    while (bits !== 0) put(1, 1);
  };
  const sizeOf = (value: number) => 32 - Math.clz32(Math.abs(value));
  const magnitude = (value: number, size: number) => put(value < 0 ? value + 2 ** size - 1 : value, size);
  const coded = ([code, length]: [number, number]) => put(code, length);
  const dc = [0, 0, 0];
  const most = Math.floor(1000 / shape.quant);
  const block = (c: number) => {
    const level = Math.max(-most, Math.min(most, dc[c]! + draw(2 * most + 1) - most));
    const size = sizeOf(level - dc[c]!);
    coded(dcCodes.get(size)!);
    magnitude(level - dc[c]!, size);
    dc[c] = level;
    // A third have no other coefficient, a few have all 63.
    const kind = draw(12);
    for (let k = 1, end = kind < 4 ? 1 : kind === 4 ? 64 : 1 + draw(40); k <= 63; ) {
      if (k >= end) {
        coded(acCodes.get(0)!);
        break;
      }
      const run = kind === 4 ? 0 : Math.min(63 - k, draw(6) === 0 ? draw(40) : draw(4));
      for (let zeros = run; zeros >= 16; zeros -= 16) coded(acCodes.get(ZERO_RUN)!);
      const bitsOf = 1 + draw(shape.bits);
      const value = (2 ** (bitsOf - 1) + draw(2 ** (bitsOf - 1))) * (draw(2) === 0 ? 1 : -1);
      coded(acCodes.get(16 * (run % 16) + bitsOf)!);
      magnitude(value, bitsOf);
      k += run + 1;
    }
  };
  const mcus = Math.ceil(shape.width / (8 * h)) * Math.ceil(shape.height / (8 * v));
  for (let mcu = 0; mcu < mcus; mcu++) {
    if (shape.restart > 0 && mcu > 0 && mcu % shape.restart === 0) {
      flush();
      out.push(0xff, 0xd0 + ((mcu / shape.restart - 1) % 8));
      dc.fill(0);
    }
    for (let i = 0; i < h * v; i++) block(0);
    for (let c = 1; c < shape.components; c++) block(c);
  }
  flush();
  out.push(0xff, 0xd9);
  return Uint8Array.from(out);
}
