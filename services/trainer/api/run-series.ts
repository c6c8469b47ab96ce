/** GetRunSeries: what is asked for, and its answer. */
import { Violations } from '#errors/errors.js';
import { type GetRunSeriesRequest, type GetRunSeriesResponse, StepMetric } from '#protocol/dropstream/v1/trainer.js';
import type { RunKey } from '../run/run-log.js';
import type { RunView } from '../run/run-state.js';
import { readSeries, type SeriesQuery } from '../run/series/read-series.js';
import type { SeriesStore } from '../run/series/series-store.js';
import { metricCount } from '../run/series/step-columns.js';

const defaultPoints = 1000;
const maxPoints = 20_000;
/** The columns have the order of the enum. */
const columnOf = (metric: StepMetric): number => metric - 1;
const allMetrics = Array.from({ length: metricCount }, (_, column): StepMetric => column + 1);

export interface SeriesRequest extends Omit<SeriesQuery, 'sequence'> {
  readonly shown: readonly StepMetric[];
}

/** @throws InvalidArgument */
export function parseSeries({ metrics, fromStep, toStep, points }: GetRunSeriesRequest): SeriesRequest {
  const violations = new Violations();
  const areKnown = metrics.every((metric) => allMetrics.includes(metric)) && new Set(metrics).size === metrics.length;
  violations.check(
    areKnown,
    'metrics',
    metrics.map((metric) => StepMetric[metric] ?? metric).join(', '),
    'known metrics, each at most once',
  );
  const isRange = toStep === 0n || fromStep < toStep;
  violations.check(isRange, 'to_step', toStep, `0, or above from_step, which is ${fromStep}`);
  violations.check(points === 0 || (points >= 4 && points <= maxPoints), 'points', points, `0, or from 4 to ${maxPoints}`);
  violations.throwIfAny();
  const shown = metrics.length === 0 ? allMetrics : metrics;
  return {
    shown,
    metrics: shown.map(columnOf),
    fromStep: Number(fromStep),
    toStep: toStep === 0n ? undefined : Number(toStep),
    points: points || defaultPoints,
  };
}

export async function answerSeries(
  series: SeriesStore,
  key: RunKey,
  { run }: RunView,
  request: SeriesRequest,
  signal: AbortSignal,
): Promise<GetRunSeriesResponse> {
  const { curves, from, to } = await readSeries(series, key, { ...request, sequence: Number(run.logSequence) }, signal);
  return {
    series: curves.map((curve, k) => ({ metric: request.shown[k]!, ...curve })),
    fromStep: BigInt(from),
    toStep: BigInt(to),
    logSequence: run.logSequence,
    uid: run.uid,
  };
}
