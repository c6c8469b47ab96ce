/** The lines of a chart that compares runs: one for each run, or the mean and the range of runs that differ in their seed only. */
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import type { Json } from '../api/json.js';
import type { Line } from '../chart/plot-data.js';
import type { RunHistory } from '../history/run-history.js';
import type { ColumnName } from '../history/step-columns.js';
import { type Curve, type CurveView, linesOf, scoreLines } from '../run/curves.js';
import { spread } from '../series/bands.js';
import type { Points } from '../series/downsample.js';

/** What is known of a run; undefined: not yet. */
export interface Compared {
  readonly name: string;
  readonly run: Json<Run> | undefined;
  readonly history: RunHistory | undefined;
  /** The metric of each step, or of those that the trainer chose. */
  readonly column: (name: ColumnName) => Points;
  readonly error: Error | undefined;
}

type Ready = Compared & { readonly history: NonNullable<Compared['history']>; readonly run: NonNullable<Compared['run']> };

export const isReady = (compared: Compared): compared is Ready => compared.history !== undefined && compared.run !== undefined;

/** What the lines of a run are called, by its name. */
type LabelOf = (name: string) => string;

/** Without the raw values behind smoothed ones, which would hide each other. */
export const curveLines =
  (curve: Curve, view: CurveView, labelOf: LabelOf) =>
  ({ run, history, column, name }: Ready, color: number): Line[] =>
    linesOf(
      curve,
      {
        history,
        column,
        imagesPerStep: (run.spec?.batchSize ?? 64) * (run.spec?.updateFreq ?? 1),
        label: labelOf(name),
        color,
      },
      view,
    ).filter(({ faint }) => !faint);

export const evaluationLines =
  (which: 'top1' | 'loss', labelOf: LabelOf) =>
  ({ history, name }: Ready, color: number): Line[] =>
    scoreLines(history, which, labelOf(name), color).slice(0, 1);

/** `groups`: positions of runs that are drawn as one. */
export function comparedLines(
  runs: readonly Ready[],
  groups: readonly (readonly number[])[],
  draw: (run: Ready, color: number) => Line[],
): Line[] {
  return groups.flatMap((group, color) => {
    const lines = group.flatMap((k) => draw(runs[k]!, color));
    if (group.length === 1 || lines.length < 2) return lines;
    const { x, mean, low, high } = spread(lines);
    const label = `${lines[0]!.label} and ${lines.length - 1} more`;
    return [
      { label: `highest of ${label}`, color, x, y: high, faint: true, fillToNext: true },
      { label: `lowest of ${label}`, color, x, y: low, faint: true },
      { label: `mean of ${label}`, color, x, y: mean },
    ];
  });
}
