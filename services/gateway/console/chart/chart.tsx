/** A chart with a title, a readout of the values under the cursor, and zoom by mouse and keyboard. */
import { useEffect, useId, useLayoutEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import type { Mark } from '../history/run-history.js';
import { useStore } from '../widgets/store.js';
import { useWidth } from '../widgets/use-width.js';
import { plotOptions } from './options.js';
import type { Band } from './overlays.js';
import { type Line, plotData } from './plot-data.js';
import { chartTheme, colorClass, themeChanges } from './theme.js';
import { panned, type Window, zoomed } from './window.js';

export interface ChartProps {
  readonly title: string;
  readonly lines: readonly Line[];
  /** Changes whenever the lines have other values. */
  readonly version: unknown;
  readonly full: Window;
  /** What is shown; undefined: everything. */
  readonly window: Window | undefined;
  readonly onWindow: (window: Window | undefined) => void;
  readonly format: (y: number) => string;
  /** For the axis; default: format. */
  readonly formatAxis?: ((y: number) => string) | undefined;
  readonly formatX: (x: number) => string;
  /** What x counts, for the readout: `step`. */
  readonly xName: string;
  readonly log?: boolean;
  readonly bands?: readonly Band[];
  readonly marks?: readonly Mark[];
  /** Charts of the same key have one cursor. */
  readonly sync: string;
  readonly height?: number;
}

const USUAL_HEIGHT = 168;

export function Chart(props: ChartProps) {
  const { title, lines, version, full, log = false } = props;
  const height = Math.round((props.height ?? USUAL_HEIGHT) * chartTheme().scale);
  const holder = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLSpanElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const width = useWidth(holder);
  const latest = useRef(props);
  latest.current = props;
  const help = useId();
  const shown = props.window ?? full;
  const theme = useStore(themeChanges);
  const shape = JSON.stringify([title, log, height, lines.map(({ label, color, faint, dots }) => [label, color, faint, dots])]);

  useLayoutEffect(() => {
    if (holder.current === null || width === 0) return;
    const now = () => latest.current;
    const u = new uPlot(
      plotOptions(
        {
          lines: now().lines,
          log,
          height,
          sync: now().sync,
          format: (y) => (now().formatAxis ?? now().format)(y),
          formatX: (x) => now().formatX(x),
          window: () => now().window ?? now().full,
          bands: () => now().bands ?? [],
          marks: () => now().marks ?? [],
          onSelect: (window) => now().onWindow(window),
          onReset: () => now().onWindow(undefined),
          onCursor: (at) => tellValues(at, now(), readout.current),
        },
        width,
      ),
      plotData(now().lines, now().window ?? now().full, width, log),
      holder.current,
    );
    plot.current = u;
    return () => {
      u.destroy();
      plot.current = undefined;
    };
  }, [shape, width === 0, theme]);

  useLayoutEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height });
  }, [width, height]);

  // One drawing for each picture of the screen, however many values have come.
  useEffect(() => {
    const frame = requestAnimationFrame(() => {
      const u = plot.current;
      if (u === undefined) return;
      const { window = full } = latest.current;
      u.setData(plotData(latest.current.lines, window, Math.max(1, u.width), log));
      tellValues(u, latest.current, readout.current);
    });
    return () => cancelAnimationFrame(frame);
  }, [version, shown.from, shown.to, width, shape]);

  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{title}</span>
        <span class="chart-values" ref={readout} />
      </figcaption>
      {/* biome-ignore lint/a11y/useSemanticElements: it is no fieldset */}
      <div
        class="chart-plot"
        ref={holder}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keys move the cursor and zoom, so it must have the focus
        tabIndex={0}
        role="group"
        aria-label={`Chart: ${title}`}
        aria-describedby={help}
        onKeyDown={(e) => onKey(e, plot.current, props)}
      />
      <p id={help} class="hidden">
        {describe(props)} Left and right move the cursor, plus and minus zoom, shift with left and right moves the part that is shown, 0
        shows everything.
      </p>
    </figure>
  );
}

/** Writes what the lines have at the cursor, or at their ends. It changes with every move of the mouse, so it does not go through the view library. */
function tellValues(u: uPlot, { lines, format, formatX, xName, marks = [] }: ChartProps, readout: HTMLSpanElement | null): void {
  if (readout === null) return;
  const { idx, left = -1 } = u.cursor;
  const at = idx === null || idx === undefined || left < 0 ? undefined : u.data[0][idx];
  const parts = lines.flatMap(({ label, color, faint }, k) => {
    if (faint) return [];
    const values = u.data[k + 1] ?? [];
    const value = at === undefined ? nearest(values, values.length - 1) : (values[idx!] ?? nearest(values, idx!));
    if (value === null || value === undefined) return [];
    const item = document.createElement('span');
    item.className = `value ${colorClass(color)}`;
    item.textContent = `${lines.filter((line) => !line.faint).length > 1 ? `${label} ` : ''}${format(value)}`;
    return [item];
  });
  const near = at === undefined ? undefined : marks.find(({ step }) => Math.abs(u.valToPos(step, 'x') - left) < 4);
  const where = document.createElement('span');
  where.textContent = at === undefined ? '' : `${near === undefined ? '' : `${near.text}, `}${xName} ${formatX(at)}`;
  readout.replaceChildren(...parts, where);
}

/** The value before `index`: lines with other points have none at it. */
function nearest(values: ArrayLike<number | null | undefined>, index: number): number | null | undefined {
  for (let k = index; k >= 0; k--) if (values[k] !== null && values[k] !== undefined) return values[k];
  return undefined;
}

function onKey(event: KeyboardEvent, u: uPlot | undefined, props: ChartProps): void {
  if (u === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  const window = props.window ?? props.full;
  const at = u.cursor.idx ?? u.data[0].length - 1;
  const center = u.data[0][at] ?? window.to;
  const jump = Math.max(1, Math.round(u.data[0].length / 60));
  const move = (by: number) => {
    const next = Math.min(u.data[0].length - 1, Math.max(0, at + by));
    u.setCursor({ left: u.valToPos(u.data[0][next] ?? 0, 'x'), top: 10 });
  };
  if (event.key === 'ArrowLeft' || event.key === 'ArrowRight') {
    const direction = event.key === 'ArrowLeft' ? -1 : 1;
    if (event.shiftKey) props.onWindow(panned(window, props.full, direction * 0.25));
    else move(direction * jump);
  } else if (event.key === '+' || event.key === '=') props.onWindow(zoomed(window, props.full, 0.6, center));
  else if (event.key === '-') props.onWindow(zoomed(window, props.full, 1 / 0.6, center));
  else if (event.key === '0') props.onWindow(undefined);
  else return;
  event.preventDefault();
}

/** The chart as a sentence, for those who cannot see it. */
function describe({ lines, format, formatX, xName }: ChartProps): string {
  const told = lines.flatMap(({ label, faint, x, y }) =>
    faint || y.length === 0
      ? []
      : [`${label}: from ${format(y[0]!)} at ${xName} ${formatX(x[0]!)} to ${format(y.at(-1)!)} at ${xName} ${formatX(x.at(-1)!)}.`],
  );
  return told.length === 0 ? 'There are no values yet.' : told.join(' ');
}
