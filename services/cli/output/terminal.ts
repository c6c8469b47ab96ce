/** Where a command writes: results to stdout, everything else to stderr. Tests pass their own terminal. */
export interface Terminal {
  /** Prints a line of the result. */
  out(line: string): void;
  /** Prints a line of progress, a note or an error. */
  err(line: string): void;
  /** Replaces the status line, and what was shown above it, with these lines. Does nothing if stderr is not a terminal. */
  status(...lines: readonly string[]): void;
  /** True if stderr is a terminal. */
  readonly interactive: boolean;
  readonly color: boolean;
  readonly columns: number;
  /** Lines of the terminal; undefined if stderr is none. */
  readonly rows?: number | undefined;
}

export function processTerminal(): Terminal {
  const interactive = process.stderr.isTTY === true;
  const color = process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  let shown = 0;
  // Up to the first line that is shown, and everything from there on is erased.
  const erase = () => `\r${shown > 1 ? `\x1b[${shown - 1}A` : ''}\x1b[J`;
  const clear = () => {
    if (shown > 0) process.stderr.write(erase());
    shown = 0;
  };
  return {
    out: (line) => {
      clear();
      process.stdout.write(`${line}\n`);
    },
    err: (line) => {
      clear();
      process.stderr.write(`${line}\n`);
    },
    status: (...lines) => {
      if (!interactive) return;
      const width = (process.stderr.columns || 80) - 1;
      process.stderr.write(`${erase()}${lines.map((line) => statusText(line).slice(0, width)).join('\n')}`);
      shown = lines.join('') === '' ? 0 : lines.length;
    },
    interactive,
    color,
    get columns() {
      return process.stderr.columns || 80;
    },
    get rows() {
      return process.stderr.rows;
    },
  };
}

/** Status lines may have what services say: a line break in it would make two lines of one, which are not erased. */
const statusText = (line: string): string => line.replace(/\p{Cc}+/gu, ' ');

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

/** The text in a colour, or unchanged if the terminal has no colours. */
export function paint(terminal: Pick<Terminal, 'color'>, style: keyof typeof codes, text: string): string {
  return terminal.color ? `\x1b[${codes[style]}m${text}\x1b[0m` : text;
}
