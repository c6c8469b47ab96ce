/** Resamples a ViT's position embedding for another grid of patches as timm's resample_abs_pos_embed does: bicubic and antialiased. */
import type { Shape } from './tensor.js';

/** Half width of the kernel, in cells of the coarser grid. */
const RADIUS = 2;

/** Keys' cubic with a = −0.5, which torch uses when it antialiases (its plain bicubic has −0.75). */
function cubic(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < RADIUS ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

interface Taps {
  first: number;
  weights: number[];
}

/**
 * For each place of the new axis, the old places that it reads and their weights, which sum to 1. Pixel centres are at halves (align_corners false).
 */
function tapsOf(from: number, to: number): Taps[] {
  const scale = from / to;
  const width = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - RADIUS * width + 0.5));
    const end = Math.min(from, Math.trunc(centre + RADIUS * width + 0.5));
    const weights = Array.from({ length: end - first }, (_, j) => cubic((first + j - centre + 0.5) / width));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/** Side of the square grid of patches in [1, 1 + side², D]; undefined for any other shape. */
export function gridSide([one, tokens, dim, ...more]: Shape): number | undefined {
  if (one !== 1 || tokens === undefined || dim === undefined || more.length > 0) return undefined;
  const side = Math.round(Math.sqrt(tokens - 1));
  return side > 0 && side * side === tokens - 1 ? side : undefined;
}

/**
 * The embedding [1, 1 + from², D] on a grid of `to` × `to` patches; the class token's row does not change. Equal sides give equal values. Sums are in
 * float64 and rounded once, so results are within 1e-6 of timm's float32 for values below 1.
 * @throws RangeError if the shape is not that of a square grid or the values do not fit the shape
 */
export function resamplePositions(values: Float32Array, shape: Shape, to: number): Float32Array<ArrayBuffer> {
  const from = gridSide(shape);
  const dim = shape[2] ?? 0;
  if (from === undefined) throw new RangeError(`shape: [${shape}] is not [1, 1 + side², D]`);
  if (values.length !== (1 + from * from) * dim) throw new RangeError(`values: ${values.length} do not fit shape [${shape}]`);
  if (from === to) return values.slice();
  const taps = tapsOf(from, to);
  // Along rows first, then along columns: [from, from, D] → [from, to, D] → [to, to, D].
  const rows = new Float64Array(from * to * dim);
  for (let y = 0; y < from; y++)
    for (const [x, { first, weights }] of taps.entries())
      for (const [j, weight] of weights.entries()) {
        const [source, target] = [(1 + y * from + first + j) * dim, (y * to + x) * dim];
        for (let d = 0; d < dim; d++) rows[target + d]! += weight * values[source + d]!;
      }
  const grid = new Float64Array(to * to * dim);
  for (const [y, { first, weights }] of taps.entries())
    for (const [j, weight] of weights.entries()) {
      const [source, target] = [(first + j) * to * dim, y * to * dim];
      for (let i = 0; i < to * dim; i++) grid[target + i]! += weight * rows[source + i]!;
    }
  const resampled = new Float32Array(dim + grid.length);
  resampled.set(values.subarray(0, dim));
  resampled.set(grid, dim);
  return resampled;
}
