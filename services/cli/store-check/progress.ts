/** Shows how far a check is: a status line on a terminal, otherwise a line now and then. */
import { bytes, count } from '../output/numbers.js';
import type { Terminal } from '../output/terminal.js';
import type { StoreTotals } from './check-store.js';

const FIRST_LINE_MS = 2000;
const NEXT_LINES_MS = 5000;
const REDRAW_MS = 100;

export interface CheckProgress {
  show(totals: StoreTotals, key: string): void;
  close(): void;
}

export function progressOf(terminal: Terminal): CheckProgress {
  let nextLineMs = performance.now() + FIRST_LINE_MS;
  let drawnMs = 0;
  return {
    show: (totals, key) => {
      const now = performance.now();
      if (now - drawnMs < REDRAW_MS) return;
      drawnMs = now;
      const line = `checked ${count(totals.objects)} objects, ${bytes(totals.bytes)}, up to ${key}`;
      terminal.status(line);
      if (terminal.interactive || now < nextLineMs) return;
      nextLineMs = now + NEXT_LINES_MS;
      terminal.err(line);
    },
    close: () => terminal.status(''),
  };
}
