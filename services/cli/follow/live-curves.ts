/** The curves that are shown above the status line while a run is watched on a terminal. */
import { beside, curveLines } from '../output/curve-lines.js';
import { significant } from '../output/numbers.js';
import type { Terminal } from '../output/terminal.js';
import type { RunProgress } from './run-progress.js';

/** Lines of a curve without its title. */
const ROWS = 7;
/** What a terminal must have, so that rows of epochs are seen above the curves. */
const LEAST_ROWS = 18;
const LEAST_COLUMNS = 40;
/** Two curves beside each other need this. */
const TWO_COLUMNS = 90;
const MOST_COLUMNS = 150;

/** Empty on a small terminal, and before there are values. */
export function liveCurves({ losses, evaluations }: RunProgress, { columns, rows = 0 }: Pick<Terminal, 'columns' | 'rows'>): string[] {
  const values = losses.values;
  if (rows < LEAST_ROWS || columns < LEAST_COLUMNS || values.length < 2) return [];
  const width = Math.min(columns - 1, MOST_COLUMNS);
  const scores = [...evaluations].sort((a, b) => Number(a.step - b.step)).flatMap(({ scores: found }) => (found ? [found.top1] : []));
  const two = width >= TWO_COLUMNS && scores.length > 1;
  const each = two ? Math.floor((width - 2) / 2) : width;
  const loss = curveLines(values, { title: 'training loss', format: (y) => significant(y, 4), columns: each, rows: ROWS });
  if (!two) return loss;
  const top1 = curveLines(scores, { title: 'top-1 of checkpoints', format: (y) => `${y.toFixed(2)} %`, columns: each, rows: ROWS });
  return beside([loss, top1]);
}
