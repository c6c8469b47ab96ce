import { InterchangeError } from './interchange-error.js';

/** One parameter that a file and a model do not agree about. */
export interface Mismatch {
  readonly name: string;
  readonly problem: 'missing' | 'unexpected' | 'shape' | 'type';
  /** Shape or type in the file, and in the model; undefined where there is none. */
  readonly found: string | undefined;
  readonly expected: string | undefined;
}

const MAX_ROWS = 200;

/** Names, shapes or types differ; the message is a table of all of them, the first 200 where there are more. */
export class MismatchError extends InterchangeError {
  override readonly name = 'MismatchError';
  constructor(
    readonly mismatches: readonly Mismatch[],
    hint?: string,
  ) {
    super(`the file is not of this model, ${mismatches.length} parameters differ:\n${mismatchTable(mismatches)}${hint ? `\n${hint}` : ''}`);
  }
}

function mismatchTable(mismatches: readonly Mismatch[]): string {
  const rows = [
    ['PARAMETER', 'PROBLEM', 'IN THE FILE', 'IN THE MODEL'],
    ...mismatches.slice(0, MAX_ROWS).map(({ name, problem, found, expected }) => [printable(name), problem, found ?? '-', expected ?? '-']),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  if (mismatches.length > MAX_ROWS) lines.push(`… and ${mismatches.length - MAX_ROWS} more`);
  return lines.map((line) => `  ${line}`).join('\n');
}

/** Names come from a file: no control characters on a terminal, no endless lines. */
const printable = (name: string): string => name.slice(0, 100).replaceAll(/[^\x20-\x7e]/g, '?');
