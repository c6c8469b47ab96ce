/** Draws a line chart as inline SVG without scripts; colours come from the page's CSS, and values are shown as tooltips. */
export type SeriesColor = 1 | 2 | 3 | 4 | 5 | 6;

export interface Series {
  readonly name: string;
  /** Number of the CSS colour. */
  readonly color: SeriesColor;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Draw a dot at each point, for series of few points; default false. */
  readonly dots?: boolean;
  /** Draw a thin, pale line, for raw values behind a smoothed line. */
  readonly faint?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  readonly xTitle: string;
  readonly series: readonly Series[];
  readonly format: (y: number) => string;
  /** Default: taken from the data. */
  readonly yMin?: number;
  readonly yMax?: number;
  readonly logY?: boolean;
  readonly xMax?: number;
}

const WIDTH = 520;
const HEIGHT = 250;
const LEFT = 56;
const RIGHT = 14;
const TOP = 14;
const BOTTOM = 38;
const MAX_POINTS = 400;

export function lineChart(options: ChartOptions): string {
  const points = options.series.flatMap((series) => series.points).filter(([, y]) => Number.isFinite(y) && (!options.logY || y > 0));
  if (points.length === 0) return `<figure><figcaption>${escapeHtml(options.title)}</figcaption><p class="muted">no values</p></figure>`;
  const scaleY = (y: number) => (options.logY ? Math.log10(y) : y);
  const xMax = options.xMax ?? Math.max(...points.map(([x]) => x), 1);
  const ys = points.map(([, y]) => scaleY(y)).filter(Number.isFinite);
  const low = options.yMin ?? Math.min(...ys);
  const high = options.yMax ?? Math.max(...ys);
  const ticks = options.logY ? [low, (low + high) / 2, high] : niceTicks(low, high);
  const [bottom, top] = [Math.min(low, ticks[0] ?? low), Math.max(high, ticks.at(-1) ?? high)];
  const x = (value: number) => LEFT + (value / xMax) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => HEIGHT - BOTTOM - ((scaleY(value) - bottom) / (top - bottom || 1)) * (HEIGHT - TOP - BOTTOM);
  const yAt = (tick: number) => y(options.logY ? 10 ** tick : tick);

  const grid = ticks.map((tick) => {
    const label = options.format(options.logY ? 10 ** tick : tick);
    return `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${f(yAt(tick))}" y2="${f(yAt(tick))}"/><text class="tick" x="${LEFT - 8}" y="${f(yAt(tick) + 4)}" text-anchor="end">${escapeHtml(label)}</text>`;
  });
  const xTicks = niceTicks(0, xMax, 6)
    .filter((tick) => tick <= xMax * 1.001)
    .map(
      (tick) =>
        `<text class="tick" x="${f(x(tick))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${tick.toLocaleString('en-US')}</text>`,
    );
  const lines = options.series.map((series) => {
    const shown = thin(series.points.filter(([, value]) => Number.isFinite(value)));
    const path = shown.map(([px, py], k) => `${k === 0 ? 'M' : 'L'}${f(x(px))} ${f(y(py))}`).join('');
    const dots = series.dots
      ? shown
          .map(
            ([px, py]) =>
              `<circle class="dot c${series.color}" cx="${f(x(px))}" cy="${f(y(py))}" r="3.5"><title>${escapeHtml(`${series.name}: ${options.format(py)} at ${options.xTitle} ${Number(px.toFixed(2))}`)}</title></circle>`,
          )
          .join('')
      : '';
    return `<path class="line c${series.color}${series.faint ? ' faint' : ''}" d="${path}"/>${dots}`;
  });
  const named = options.series.filter((series) => !series.faint);
  const legend =
    named.length > 1
      ? `<span class="legend">${named.map((s) => `<span><i class="c${s.color}"></i>${escapeHtml(s.name)}</span>`).join('')}</span>`
      : '';
  return `<figure><figcaption>${escapeHtml(options.title)}${legend}</figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(options.title)}">
${grid.join('\n')}
<line class="axis" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${HEIGHT - BOTTOM}" y2="${HEIGHT - BOTTOM}"/>
${xTicks.join('')}
<text class="tick" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 4}" text-anchor="middle">${escapeHtml(options.xTitle)}</text>
${lines.join('\n')}
</svg></figure>`;
}

/** Round tick values that enclose low and high, with a spacing of 1, 2 or 5 times a power of ten. */
export function niceTicks(low: number, high: number, about = 5): number[] {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / (about - 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999) ?? 10 * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)));
}

/** Reduces the points to at most MAX_POINTS by averaging neighbours; the last point is kept. */
function thin(points: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  if (points.length <= MAX_POINTS) return points;
  const size = points.length / MAX_POINTS;
  return Array.from({ length: MAX_POINTS }, (_, k) => {
    const part = points.slice(Math.floor(k * size), Math.max(Math.floor(k * size) + 1, Math.floor((k + 1) * size)));
    const mean = (axis: 0 | 1) => part.reduce((sum, p) => sum + p[axis], 0) / part.length;
    return [mean(0), mean(1)] as const;
  });
}

const f = (value: number): string => value.toFixed(1);

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c]!);
