/** A curve as lines of text, drawn with the dots of Braille signs: two columns and four rows of dots in each sign. */
export interface CurveText {
  readonly title: string;
  readonly format: (y: number) => string;
  /** Width of all of it in characters. */
  readonly columns: number;
  /** Lines without the title. */
  readonly rows: number;
}

/** Bits of the dots of a sign, by row and column. */
const dots = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;
const BLANK = 0x2800;
const LABEL = 9;

/** The title with the newest value, then `rows` lines with the highest and the lowest value beside them. NaN and absent values are gaps. */
export function curveLines(values: readonly (number | undefined)[], { title, format, columns, rows }: CurveText): string[] {
  const width = Math.max(1, columns - LABEL - 1);
  const finite = values.filter((value): value is number => value !== undefined && Number.isFinite(value));
  const newest = values.findLast((value) => value !== undefined);
  const head = `${title}${newest === undefined ? '' : `  ${format(newest)}`}`.slice(0, columns).padEnd(columns);
  if (finite.length === 0) return [head, ...Array.from({ length: rows }, () => ' '.repeat(columns))];
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const signs = Array.from({ length: rows }, () => new Uint8Array(width));
  const set = (x: number, y: number) => {
    signs[y >> 2]![x >> 1]! |= dots[y & 3]![(x & 1) as 0 | 1]!;
  };
  // Rows of dots count from above.
  const rowOf = (value: number) => (high === low ? 2 * rows : Math.round(((high - value) / (high - low)) * (4 * rows - 1)));
  let before: number | undefined;
  for (const [x, value] of stretched(values, 2 * width).entries()) {
    const row = value === undefined ? undefined : rowOf(value);
    if (row !== undefined) for (let y = Math.min(row, before ?? row); y <= Math.max(row, before ?? row); y++) set(x, y);
    before = row;
  }
  const labels = Array.from({ length: rows }, (_, k) => (k === 0 ? format(high) : k === rows - 1 ? format(low) : ''));
  return [
    head,
    ...signs.map(
      (line, k) =>
        `${labels[k]!.slice(0, LABEL).padStart(LABEL)} ${Array.from(line, (sign) => String.fromCodePoint(BLANK + sign)).join('')}`,
    ),
  ];
}

/** One value for each place: the mean of those that fall on it, or the one that covers it. */
function stretched(values: readonly (number | undefined)[], places: number): (number | undefined)[] {
  return Array.from({ length: places }, (_, k) => {
    const from = Math.floor((k * values.length) / places);
    const part = values
      .slice(from, Math.max(from + 1, Math.floor(((k + 1) * values.length) / places)))
      .filter((value): value is number => value !== undefined && Number.isFinite(value));
    return part.length === 0 ? undefined : part.reduce((sum, value) => sum + value, 0) / part.length;
  });
}

/** Blocks of lines beside each other, with two spaces between them. */
export const beside = (blocks: readonly (readonly string[])[]): string[] =>
  (blocks[0] ?? []).map((_, k) =>
    blocks
      .map((block) => block[k] ?? '')
      .join('  ')
      .trimEnd(),
  );
