/** Which curves a run has, and their values: by step, or as the means of epochs. */
import type { EpochRecord } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import type { Line } from '../chart/plot-data.js';
import { count, percent, significant } from '../format/numbers.js';
import type { RunHistory } from '../history/run-history.js';
import type { ColumnName } from '../history/step-columns.js';
import type { Points } from '../series/downsample.js';
import { smooth } from '../series/smooth.js';

export interface Curve {
  readonly id: string;
  readonly title: string;
  readonly format: (y: number) => string;
  /** For the axis; default: format. */
  readonly formatAxis?: (y: number) => string;
  /** The metric of steps that it shows. */
  readonly column: ColumnName;
  /** From the metric to what is shown; default: as it is. */
  readonly value?: (metric: number, imagesPerStep: number) => number;
  /** The mean of an epoch; undefined if it has none. */
  readonly byEpoch: (epoch: Json<EpochRecord>) => number | undefined;
  /** Whether a logarithmic axis makes sense. */
  readonly canLog?: boolean;
  /** Whether the values are noisy, so that smoothing helps. */
  readonly noisy?: boolean;
}

const rate = (y: number) => significant(y, 3);

export const curves: readonly Curve[] = [
  {
    id: 'loss',
    title: 'Training loss',
    format: (y) => significant(y),
    column: 'loss',
    byEpoch: (e) => num(e.trainLoss),
    canLog: true,
    noisy: true,
  },
  {
    id: 'classAcc',
    title: 'Training accuracy',
    format: (y) => percent(y),
    formatAxis: (y) => percent(y, 0),
    column: 'classAcc',
    byEpoch: (e) => e.trainClassAcc,
    noisy: true,
  },
  { id: 'dropRate', title: 'Drop rate', format: rate, column: 'dropRate', byEpoch: (e) => num(e.trainDropRate) },
  { id: 'lr', title: 'Learning rate', format: rate, column: 'lr', byEpoch: (e) => num(e.trainLr), canLog: true },
  {
    id: 'gradNorm',
    title: 'Gradient norm',
    format: rate,
    column: 'gradNorm',
    byEpoch: (e) => num(e.trainGradNorm),
    canLog: true,
    noisy: true,
  },
  {
    id: 'speed',
    title: 'Images per second',
    format: count,
    column: 'stepSeconds',
    value: (seconds, images) => (seconds > 0 ? images / seconds : Number.NaN),
    byEpoch: (e) => num(e.imagesPerSecond),
    noisy: true,
  },
  {
    id: 'dataWait',
    title: 'Waiting for data, ms of a step',
    format: (y) => significant(y, 3),
    column: 'dataWaitSeconds',
    value: (seconds) => 1000 * seconds,
    byEpoch: () => undefined,
    noisy: true,
  },
  { id: 'weightDecay', title: 'Weight decay', format: rate, column: 'weightDecay', byEpoch: (e) => num(e.trainWeightDecay) },
];

export interface CurveView {
  readonly by: 'step' | 'epoch';
  /** Weight of what came before in the smoothed curve, 0 to below 1. */
  readonly smoothing: number;
}

export interface CurveSource {
  readonly history: RunHistory;
  /** The metric of each step, or of those that the trainer chose. */
  readonly column: (name: ColumnName) => Points;
  readonly imagesPerStep: number;
  readonly label: string;
  readonly color: number;
}

/** The lines of a curve for one run: the smoothed one over the raw one, or the means of epochs at their last steps. */
export function linesOf(curve: Curve, source: CurveSource, { by, smoothing }: CurveView): Line[] {
  const { label, color, imagesPerStep } = source;
  if (by === 'epoch') return epochLine(curve, source);
  const { x, y: metric } = source.column(curve.column);
  const y = curve.value === undefined ? metric : metric.map((value) => curve.value!(value, imagesPerStep));
  if (!y.some((value) => !Number.isNaN(value))) return [];
  if (!curve.noisy || smoothing === 0) return [{ label, color, x, y }];
  return [
    { label, color, x, y, faint: true },
    { label, color, x, y: smooth(y, smoothing) },
  ];
}

function epochLine(curve: Curve, { history, label, color }: CurveSource): Line[] {
  const points = [...history.epochs.values()].flatMap((epoch) => {
    const y = curve.byEpoch(epoch);
    return y === undefined ? [] : [[((epoch.epoch ?? 0) + 1) * history.stepsPerEpoch, y] as const];
  });
  if (points.length === 0) return [];
  points.sort(([a], [b]) => a - b);
  return [
    { label, color, x: Float64Array.from(points, ([x]) => x), y: Float64Array.from(points, ([, y]) => y), dots: points.length < 100 },
  ];
}

/** The charts of evaluations: which score, and how it is written. */
export const scoreCharts = [
  {
    id: 'top1',
    which: 'top1',
    title: 'Top-1 of checkpoints',
    format: (y: number) => `${y.toFixed(2)} %`,
    formatAxis: (y: number) => `${significant(y, 3)} %`,
  },
  { id: 'evalLoss', which: 'loss', title: 'Evaluation loss', format: (y: number) => significant(y), formatAxis: undefined },
] as const;

/** The scores of a run's checkpoints, of the weights and of the moving average. */
export function scoreLines(history: RunHistory, which: 'top1' | 'loss', label: string, color: number): Line[] {
  const scored = history.evaluations.filter(({ record }) => record.result?.weights !== undefined).sort((a, b) => a.step - b.step);
  const line = (of: 'weights' | 'ema', name: string, shade: number): Line[] => {
    const points = scored.filter(({ record }) => record.result?.[of] !== undefined);
    if (points.length === 0) return [];
    return [
      {
        label: name,
        color: shade,
        x: Float64Array.from(points, ({ step }) => step),
        y: Float64Array.from(points, ({ record }) => num(record.result?.[of]?.[which])),
        dots: points.length < 100,
      },
    ];
  };
  return [...line('weights', label, color), ...line('ema', `${label} (EMA)`, color + 1)];
}
