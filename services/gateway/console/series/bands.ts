/** Mean, lowest and highest of several curves at the x that all of them have. */
import type { Points } from './downsample.js';

export interface Spread {
  readonly x: Float64Array;
  readonly mean: Float64Array;
  readonly low: Float64Array;
  readonly high: Float64Array;
}

export function spread(curves: readonly Points[]): Spread {
  const [first, ...others] = curves;
  const x: number[] = [];
  const [mean, low, high]: number[][] = [[], [], []] as [number[], number[], number[]];
  const at = others.map(() => 0);
  for (let i = 0; i < (first?.x.length ?? 0); i++) {
    const place = first!.x[i]!;
    const values = [first!.y[i]!];
    for (const [k, other] of others.entries()) {
      while (at[k]! < other.x.length && other.x[at[k]!]! < place) at[k]!++;
      if (other.x[at[k]!] === place) values.push(other.y[at[k]!]!);
    }
    if (values.length < curves.length || !values.every(Number.isFinite)) continue;
    x.push(place);
    mean!.push(values.reduce((sum, value) => sum + value, 0) / values.length);
    low!.push(Math.min(...values));
    high!.push(Math.max(...values));
  }
  return { x: Float64Array.from(x), mean: Float64Array.from(mean!), low: Float64Array.from(low!), high: Float64Array.from(high!) };
}
