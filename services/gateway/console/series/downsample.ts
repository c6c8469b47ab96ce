/**
 * Fewer points that look the same (M4): for each column of pixels the first, the lowest, the highest and the last value of the points in it. What is
 * drawn from them covers the same pixels as all points, so a spike is never lost, and at a zoom where there are few points, they are all there.
 */
export interface Points {
  readonly x: Float64Array;
  readonly y: Float64Array;
}

/** Index of the first x that is at least `value`; x ascends. */
export function lowerBound(x: ArrayLike<number>, value: number): number {
  let [low, high] = [0, x.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The indices to draw between `from` and `to`, ascending, at most 4 · `columns` and one beyond either end, so that lines reach the edges. NaN counts as
 * a gap, which is kept if a whole column consists of it.
 */
export function visibleIndices(x: ArrayLike<number>, y: ArrayLike<number>, from: number, to: number, columns: number): number[] {
  const begin = Math.max(0, lowerBound(x, from) - 1);
  const end = Math.min(x.length, lowerBound(x, to) + 1);
  if (end - begin <= 4 * columns) return Array.from({ length: end - begin }, (_, k) => begin + k);
  const found: number[] = [];
  const width = (end - begin) / columns;
  for (let k = 0; k < columns; k++) {
    const first = begin + Math.floor(k * width);
    const last = begin + Math.floor((k + 1) * width) - 1;
    let [lowest, highest] = [first, first];
    for (let i = first; i <= last; i++) {
      const value = y[i]!;
      if (Number.isNaN(value)) continue;
      if (Number.isNaN(y[lowest]!) || value < y[lowest]!) lowest = i;
      if (Number.isNaN(y[highest]!) || value > y[highest]!) highest = i;
    }
    for (const i of [first, Math.min(lowest, highest), Math.max(lowest, highest), last]) {
      if (found.length === 0 || found.at(-1)! < i) found.push(i);
    }
  }
  return found;
}

export function downsample(x: ArrayLike<number>, y: ArrayLike<number>, from: number, to: number, columns: number): Points {
  const indices = visibleIndices(x, y, from, to, columns);
  return { x: Float64Array.from(indices, (i) => x[i]!), y: Float64Array.from(indices, (i) => y[i]!) };
}
