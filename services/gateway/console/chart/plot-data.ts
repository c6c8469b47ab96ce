/** The points that a chart draws: each line's own, thinned for the width of the chart, on one common axis. */
import uPlot from 'uplot';
import { downsample } from '../series/downsample.js';
import type { Window } from './window.js';

export interface Line {
  readonly label: string;
  /** Number of its colour, from 0. */
  readonly color: number;
  readonly x: Float64Array;
  readonly y: Float64Array;
  /** A thin, pale line, for raw values behind a smoothed one. */
  readonly faint?: boolean;
  /** The space between this line and the next one is filled. */
  readonly fillToNext?: boolean;
  /** Points instead of a line only, for series of few points. */
  readonly dots?: boolean;
}

export function plotData(lines: readonly Line[], window: Window, columns: number, log: boolean): uPlot.AlignedData {
  const tables = lines.map(({ x, y }): uPlot.AlignedData => {
    const points = downsample(x, y, window.from, window.to, columns);
    return [points.x, Array.from(points.y, (value) => (Number.isFinite(value) && (!log || value > 0) ? value : null))];
  });
  if (tables.length === 1) return tables[0]!;
  return tables.length === 0 ? [[]] : uPlot.join(tables);
}

/** The smallest window that shows every line. */
export function fullWindow(lines: readonly Pick<Line, 'x'>[], atLeast = 1): Window {
  const ends = lines.filter(({ x }) => x.length > 0);
  const from = Math.min(...ends.map(({ x }) => x[0]!), 0);
  return { from, to: Math.max(from + atLeast, ...ends.map(({ x }) => x.at(-1)!)) };
}
