/** Where a command writes: results to stdout, everything else to stderr. Tests pass their own terminal. */
export interface Terminal {
  /** Prints a line of the result. */
  out(line: string): void;
  /** Prints a line of progress, a note or an error. */
  err(line: string): void;
  /** Replaces the status line with `line`. Does nothing if stderr is not a terminal. */
  status(line: string): void;
  /** True if stderr is a terminal. */
  readonly interactive: boolean;
  readonly color: boolean;
  readonly columns: number;
}

export function processTerminal(): Terminal {
  const interactive = process.stderr.isTTY === true;
  const color = process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
  let shown = false;
  const clear = () => {
    if (shown) process.stderr.write('\r\x1b[K');
    shown = false;
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
    status: (line) => {
      if (!interactive) return;
      const width = (process.stderr.columns || 80) - 1;
      process.stderr.write(`\r\x1b[K${line.slice(0, width)}`);
      shown = line !== '';
    },
    interactive,
    color,
    columns: process.stderr.columns || 80,
  };
}

const codes = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

/** The text in a colour, or unchanged if the terminal has no colours. */
export function paint(terminal: Pick<Terminal, 'color'>, style: keyof typeof codes, text: string): string {
  return terminal.color ? `\x1b[${codes[style]}m${text}\x1b[0m` : text;
}
