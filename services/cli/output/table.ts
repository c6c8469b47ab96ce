/** Formats plain-text tables: two spaces between columns, numbers right-aligned, no frames, so that tools such as grep can read them. */
export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string | number | bigint | undefined;
  /** Default: right if every value is a number, otherwise left. */
  readonly align?: 'left' | 'right';
}

/** The lines of a table: the titles, then one line per row. Absent values are shown as `-`. */
export function tableLines<T>(rows: readonly T[], columns: readonly Column<T>[]): string[] {
  const cells = rows.map((row) => columns.map((column) => cell(column.value(row))));
  const widths = columns.map((column, k) => Math.max(column.title.length, ...cells.map((line) => line[k]!.length)));
  const right = columns.map(
    (column, k) => (column.align ?? (cells.length > 0 && cells.every((line) => numeric(line[k]!)) ? 'right' : 'left')) === 'right',
  );
  const join = (line: readonly string[]) =>
    line
      .map((text, k) => (right[k] ? text.padStart(widths[k]!) : text.padEnd(widths[k]!)))
      .join('  ')
      .trimEnd();
  return [join(columns.map((column) => column.title)), ...cells.map(join)];
}

function cell(value: string | number | bigint | undefined): string {
  if (value === undefined || value === '') return '-';
  // Control characters would act on the terminal.
  return String(value).replace(/[\s\p{Cc}]+/gu, ' ');
}

function numeric(text: string): boolean {
  return /^-$|^[+-]?[\d,]+(\.\d+)?(e[+-]?\d+)?\s?%?$/.test(text);
}

/** Lines of keys and aligned values that describe one resource. */
export function fieldLines(fields: readonly (readonly [string, string | number | bigint | boolean | undefined])[]): string[] {
  const given = fields.filter(([, value]) => value !== undefined && value !== '');
  const width = Math.max(0, ...given.map(([key]) => key.length));
  return given.map(([key, value]) => `${key.padEnd(width)}  ${value}`);
}
