/** A short curve for a table: few points, scaled to a box. */
import { visibleIndices } from './downsample.js';

/** At most 2 · `points` values that show the shape of all. */
export function sparkPoints(y: ArrayLike<number>, points: number): number[] {
  const x = Float64Array.from({ length: y.length }, (_, k) => k);
  return visibleIndices(x, y, 0, y.length, Math.ceil(points / 2))
    .map((i) => y[i]!)
    .filter((value) => Number.isFinite(value));
}

/** The path of a curve through `values` in a box of `width` × `height`, one pixel inside; empty without values. */
export function sparkPath(values: readonly number[], width: number, height: number): string {
  if (values.length === 0) return '';
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (k: number) => 1 + (values.length === 1 ? width - 2 : (k / (values.length - 1)) * (width - 2));
  const y = (value: number) => 1 + (high === low ? 0.5 : (high - value) / (high - low)) * (height - 2);
  const points = values.map((value, k) => `${x(k).toFixed(1)} ${y(value).toFixed(1)}`);
  return values.length === 1 ? `M1 ${y(values[0]!).toFixed(1)}L${points[0]}` : `M${points.join('L')}`;
}
