/** Curves of a run's metrics with at most so many points. A curve with fewer points than steps shows the extremes of equal ranges of steps, so no spike is lost. */
import type { RunKey } from '../run-log.js';
import { type Extremes, emptyRange, extremesOf, include, joinExtremes, type MetricExtremes, stretch } from './extremes.js';
import { inOrder, type SeriesStore } from './series-store.js';
import { ColumnsBuilder, placeOf, type StepColumns } from './step-columns.js';

export interface SeriesQuery {
  /** Indices of columns. */
  readonly metrics: readonly number[];
  readonly fromStep: number;
  /** The step after the last one; undefined: up to the newest. */
  readonly toStep: number | undefined;
  /** Largest number of points of a curve, at least 4. */
  readonly points: number;
  /** The newest record of the log that counts. */
  readonly sequence: number;
}

export interface Curve {
  readonly steps: number[];
  readonly values: number[];
}

/** A part of the log: a block, or what comes after the last one. */
interface Part {
  readonly first: number;
  readonly last: number;
  readonly columns: () => Promise<StepColumns>;
}

/** @returns the curves in the order of `metrics`, and the range of steps that they cover */
export async function readSeries(series: SeriesStore, key: RunKey, query: SeriesQuery, signal: AbortSignal) {
  const { blockRecords, chapterBlocks } = series.shape;
  const blocks = Math.floor(query.sequence / blockRecords);
  const whole = Math.floor(blocks / chapterBlocks);
  const chapters = await inOrder([...Array(whole).keys()], (number) => series.chapter(key, number, signal));
  const later = await inOrder(
    Array.from({ length: blocks - whole * chapterBlocks }, (_, k) => whole * chapterBlocks + k),
    (number) => series.block(key, number, signal),
  );
  const newest = await series.newest(key, blocks * blockRecords, query.sequence - blocks * blockRecords, signal);
  const ends = [
    ...chapters.flatMap(({ lastSteps }) => [...lastSteps]),
    ...[...later, newest].map(({ steps }) => steps.at(-1) ?? Number.NaN),
  ];
  const end = (ends.findLast((step) => !Number.isNaN(step)) ?? -1) + 1;
  const [from, to] = [Math.min(query.fromStep, end), Math.min(query.toStep ?? end, end)];
  const width = Math.ceil((to - from) / rangesOf(query));
  const isExact = to - from <= query.points;
  if (!isExact && width >= stretch) {
    const parts = [
      ...chapters.map(({ firstSteps, extremes }) => ({ first: firstStepOf(firstSteps), extremes })),
      ...[...later, newest].map((columns) => ({ first: columns.steps[0] ?? Number.NaN, extremes: extremesOf(columns) })),
    ];
    return { curves: distant(joinExtremes(parts), query, from, to), from, to };
  }
  const parts: Part[] = [
    ...chapters.flatMap(({ firstSteps, lastSteps }, c) =>
      [...firstSteps].map((first, k) => ({
        first,
        last: lastSteps[k]!,
        columns: () => series.block(key, c * chapterBlocks + k, signal),
      })),
    ),
    ...[...later, newest].map((columns) => ({
      first: columns.steps[0] ?? Number.NaN,
      last: columns.steps.at(-1) ?? Number.NaN,
      columns: async () => columns,
    })),
  ];
  return { curves: near(await columnsBetween(parts, from, to), query, isExact ? 1 : width), from, to };
}

/** A range has two points. Ranges begin at multiples of their width, so there is one more than fit between the ends. */
const rangesOf = ({ points }: SeriesQuery): number => Math.max(1, Math.floor(points / 2) - 1);

/** The smallest step of a chapter takes away everything from there on that is earlier in the log. */
function firstStepOf(firstSteps: Float64Array): number {
  let smallest = Number.NaN;
  for (const step of firstSteps) if (!(smallest <= step)) smallest = Number.isNaN(step) ? smallest : step;
  return smallest;
}

/** Reads the parts that have a step of the range which was not trained again later. */
async function columnsBetween(parts: readonly Part[], from: number, to: number): Promise<StepColumns> {
  const needed: Part[] = [];
  let taken = Number.POSITIVE_INFINITY;
  for (const part of [...parts].reverse()) {
    if (Number.isNaN(part.first)) continue;
    if (part.first < Math.min(to, taken) && part.last >= from) needed.unshift(part);
    taken = Math.min(taken, part.first);
  }
  const builder = new ColumnsBuilder();
  for (const columns of await inOrder(needed, (part) => part.columns())) builder.append(columns);
  const { steps, values } = builder.build();
  const [begin, end] = [placeOf(steps, from), placeOf(steps, to)];
  return { steps: steps.subarray(begin, end), values: values.map((column) => column.subarray(begin, end)) };
}

function near({ steps, values }: StepColumns, { metrics }: SeriesQuery, width: number): Curve[] {
  return metrics.map((metric) => {
    const column = values[metric]!;
    if (width === 1) return pointsOf([...steps.keys()].map((i) => [steps[i]!, column[i]!]));
    const curve: [number, number][] = [];
    for (let i = 0; i < steps.length; ) {
      const range = Math.floor(steps[i]! / width);
      const found = emptyRange();
      for (; i < steps.length && Math.floor(steps[i]! / width) === range; i++) include(found, 0, column[i]!, steps[i]!);
      curve.push(...both(found, 0));
    }
    return pointsOf(curve);
  });
}

/** Ranges are whole stretches; the first and the last one may go beyond the steps that were asked for. */
function distant({ numbers, metrics }: Extremes, query: SeriesQuery, from: number, to: number): Curve[] {
  const perRange = Math.ceil((to - from) / stretch / rangesOf(query)) || 1;
  const [begin, end] = [placeOf(numbers, Math.floor(from / stretch)), placeOf(numbers, to / stretch)];
  return query.metrics.map((metric) => {
    const { min, minStep, max, maxStep } = metrics[metric]!;
    const curve: [number, number][] = [];
    for (let k = begin; k < end; ) {
      const range = Math.floor(numbers[k]! / perRange);
      const found = emptyRange();
      for (; k < end && Math.floor(numbers[k]! / perRange) === range; k++) {
        include(found, 0, min[k]!, minStep[k]!);
        include(found, 0, max[k]!, maxStep[k]!);
      }
      curve.push(...both(found, 0));
    }
    return pointsOf(curve);
  });
}

/** The extremes of a range in the order of their steps; one point where they are the same step. */
function both({ min, minStep, max, maxStep }: MetricExtremes, at: number): [number, number][] {
  const [low, high]: [number, number][] = [
    [minStep[at]!, min[at]!],
    [maxStep[at]!, max[at]!],
  ];
  if (low![0] === high![0]) return [low!];
  return low![0] < high![0] ? [low!, high!] : [high!, low!];
}

function pointsOf(points: readonly (readonly [number, number])[]): Curve {
  const shown = points.filter(([, value]) => !Number.isNaN(value));
  return { steps: shown.map(([step]) => step), values: shown.map(([, value]) => value) };
}
