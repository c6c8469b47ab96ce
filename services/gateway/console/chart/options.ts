/** How uPlot draws our charts. */
import type uPlot from 'uplot';
import type { Mark } from '../history/run-history.js';
import { type Band, drawBands, drawMarks } from './overlays.js';
import type { Line } from './plot-data.js';
import { chartTheme, dashOf, LINE_COLORS } from './theme.js';
import type { Window } from './window.js';

export interface Drawing {
  readonly lines: readonly Line[];
  readonly log: boolean;
  readonly height: number;
  readonly sync: string;
  readonly format: (y: number) => string;
  readonly formatX: (x: number) => string;
  /** Read at every drawing, because they change while the chart lives. */
  readonly window: () => Window;
  readonly bands: () => readonly Band[];
  readonly marks: () => readonly Mark[];
  readonly onSelect: (window: Window) => void;
  readonly onReset: () => void;
  readonly onCursor: (u: uPlot) => void;
}

export function plotOptions(drawing: Drawing, width: number): uPlot.Options {
  const { lines, log, height, sync, format, formatX } = drawing;
  const axis = {
    stroke: () => chartTheme().muted,
    font: chartTheme().font,
    grid: { stroke: () => chartTheme().rule, width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height,
    legend: { show: false },
    padding: [8, 14 * chartTheme().scale, 0, 0],
    scales: {
      x: { time: false, range: () => [drawing.window().from, drawing.window().to] },
      y: log ? { distr: 3 } : {},
    },
    axes: [
      { ...axis, size: 24 * chartTheme().scale, gap: 4, values: (_, values) => values.map(formatX) },
      {
        ...axis,
        size: 52 * chartTheme().scale,
        gap: 5,
        values: (_, values) => values.map((value) => (value === null ? '' : format(value))),
      },
    ],
    series: [{}, ...lines.map(seriesOf)],
    bands: lines.flatMap(({ fillToNext, color }, k) =>
      fillToNext ? [{ series: [k + 1, k + 2] as [number, number], fill: () => `${chartTheme().lines[color % LINE_COLORS]}22` }] : [],
    ),
    cursor: {
      sync: { key: sync },
      points: { size: 6 },
      drag: { x: true, y: false, setScale: false },
      bind: { dblclick: () => reset(drawing) },
    },
    hooks: {
      drawClear: [(u) => drawBands(u, drawing.bands())],
      draw: [(u) => drawMarks(u, drawing.marks())],
      setCursor: [drawing.onCursor],
      setSelect: [
        (u) => {
          const { left, width: selected } = u.select;
          if (selected > 2) drawing.onSelect({ from: u.posToVal(left, 'x'), to: u.posToVal(left + selected, 'x') });
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}

/** What a double click does in place of uPlot's own reset. */
const reset =
  ({ onReset }: Drawing) =>
  (): null => {
    onReset();
    return null;
  };

function seriesOf({ label, color, faint = false, dots = false }: Line): uPlot.Series {
  return {
    label,
    stroke: () => `${chartTheme().lines[color % LINE_COLORS]}${faint ? '55' : ''}`,
    width: faint ? 1 : 1.75,
    dash: dashOf(color),
    spanGaps: true,
    points: dots ? { show: true, size: 6, fill: () => chartTheme().lines[color % LINE_COLORS]! } : { show: false },
  };
}
