import type * as tfjs from '@tensorflow/tfjs-core';
import type { DropScope } from '../model.js';
import { operation, type TensorFlow } from '../operation.js';
import { type Grid, gridOf, type Parameter, type Tensor } from '../tensor.js';

type Sizes = 'height' | 'width' | 'window' | 'shift' | 'heads' | 'head_dim' | 'scale';
type SizeValues = { readonly [name in Sizes]: number };

/** Added to the scores between tokens that are neighbours only because of the roll, so that their exp() is almost zero. */
const APART = -100;

export interface Windows extends Grid {
  /** Side w of a window in tokens; must divide both sides of the map. */
  window: number;
  /** Number of rows and columns by which the map is rolled back before it is cut into windows, in 0..w − 1. */
  shift: number;
}

const windowCount = ({ height, width, window }: Windows) => (height / window) * (width / window);

/** Token at every place of the windows [windows, w²], both in row order, of the map rolled by −shift. */
export function windowTokens({ height, width, window, shift }: Windows): Int32Array {
  return places({ height, width, window }, (y, x) => ((y + shift) % height) * width + ((x + shift) % width));
}

/**
 * Region, one of 3×3, of every place of the windows [windows, w²]; tokens that only the roll makes neighbours are in different regions. For shifts
 * above 0.
 */
export function windowRegions({ height, width, window, shift }: Windows): Int32Array {
  const band = (at: number, side: number) => (at < side - window ? 0 : at < side - shift ? 1 : 2);
  return places({ height, width, window }, (y, x) => 3 * band(y, height) + band(x, width));
}

function places({ height, width, window }: Omit<Windows, 'shift'>, value: (y: number, x: number) => number): Int32Array {
  const across = width / window;
  return Int32Array.from({ length: height * width }, (_, place) => {
    const [at, inside] = [Math.floor(place / window ** 2), place % window ** 2];
    return value(Math.floor(at / across) * window + Math.floor(inside / window), (at % across) * window + (inside % window));
  });
}

/** Row of the bias table for every pair (i, j) of places in a window: [w², w²]. */
export function biasRows(window: number): Int32Array {
  const size = window ** 2;
  return Int32Array.from({ length: size * size }, (_, pair) => {
    const [i, j] = [Math.floor(pair / size), pair % size];
    const [dy, dx] = [Math.floor(i / window) - Math.floor(j / window), (i % window) - (j % window)];
    return (dy + window - 1) * (2 * window - 1) + dx + window - 1;
  });
}

/** [n, H·W, k·h·d] → k tensors [n, windows, h, w², d]. */
function splitWindows(tf: TensorFlow, x: tfjs.Tensor, k: number, sizes: SizeValues): tfjs.Tensor[] {
  const { window, heads, head_dim } = sizes;
  const ordered = tf.gather(x, tf.tensor1d(windowTokens(sizes), 'int32'), 1);
  const parts = tf.reshape(ordered, [-1, windowCount(sizes), window ** 2, k, heads * head_dim]);
  return tf.unstack(parts, 3).map((part) => {
    return tf.transpose(tf.reshape(part, [-1, windowCount(sizes), window ** 2, heads, head_dim]), [0, 1, 3, 2, 4]);
  });
}

/** The reverse of splitWindows. */
function joinWindows(tf: TensorFlow, parts: tfjs.Tensor[], sizes: SizeValues): tfjs.Tensor {
  const { height, width, heads, head_dim } = sizes;
  const rows = parts.map((part) => tf.reshape(tf.transpose(part, [0, 1, 3, 2, 4]), [-1, height * width, heads * head_dim]));
  const places = new Int32Array(height * width);
  windowTokens(sizes).forEach((token, place) => {
    places[token] = place;
  });
  return tf.gather(tf.concat(rows, 2), tf.tensor1d(places, 'int32'), 1);
}

/** q · kᵀ · scale + bias, −100 between regions: [n, windows, h, w², w²]. */
function scoresOf(tf: TensorFlow, q: tfjs.Tensor, k: tfjs.Tensor, table: tfjs.Tensor, sizes: SizeValues): tfjs.Tensor {
  const { window, shift, heads, scale } = sizes;
  const size = window ** 2;
  const bias = tf.reshape(tf.transpose(tf.gather(table, tf.tensor1d(biasRows(window), 'int32'))), [heads, size, size]);
  const scores = tf.add(tf.matMul(tf.mul(q, scale), k, false, true), bias);
  if (shift === 0) return scores;
  const region = tf.reshape(tf.tensor1d(windowRegions(sizes), 'int32'), [windowCount(sizes), 1, size, 1]);
  const apart = tf.notEqual(region, tf.transpose(region, [0, 1, 3, 2]));
  return tf.add(scores, tf.mul(tf.cast(apart, 'float32'), APART));
}

/**
 * Softmax attention inside windows of w×w tokens of a map, with a learnt bias by relative position: qkv [H·W, 3·h·d], split as (3, heads, head_dim),
 * and table [(2w − 1)², h] → y [H·W, h·d]. The map is rolled by −shift, cut into windows in row order, and put back afterwards. p = softmax(q · kᵀ ·
 * scale + bias + mask); dropout at the site [windows, h, w², w²] applies to p; y = p · v. Saves the log-sum-exp of each row, not p.
 */
const apply = operation<{ inputs: 'qkv' | 'table'; attributes: Sizes; saves: 'lse' }>({
  name: 'window_attention',
  shape: (_, { height, width, heads, head_dim }) => [height * width, heads * head_dim],
  saves: { lse: (_, sizes) => [windowCount(sizes), sizes.heads, sizes.window ** 2] },
  gradient: (dy, { inputs: { qkv, table }, y: out, saved: { lse }, attributes, site }) => {
    const dqkv = gradient({ qkv, table, out, lse, dy }, attributes, { site });
    return { qkv: () => dqkv.y };
  },
  tfjs: (tf, { qkv, table }, sizes, { mask }) => {
    const [q, k, v] = splitWindows(tf, qkv, 3, sizes) as [tfjs.Tensor, tfjs.Tensor, tfjs.Tensor];
    const scores = scoresOf(tf, q, k, table, sizes);
    const lse = tf.logSumExp(scores, -1, true);
    const p = tf.exp(tf.sub(scores, lse));
    const y = tf.matMul(mask ? tf.mul(p, mask) : p, v);
    return { y: joinWindows(tf, [y], sizes), lse: tf.squeeze(lse, [-1]) };
  },
});

/** With p from lse, m the mask: dv = (p·m)ᵀ dy; g = (dy · vᵀ)·m; ds = p · (g − Σ dy·y); dq = ds·k·scale; dk = dsᵀ·q·scale; table += Σ ds. */
const gradient = operation<{ inputs: 'qkv' | 'table' | 'out' | 'lse' | 'dy'; attributes: Sizes; gradients: 'table' }>({
  name: 'window_attention_grad',
  shape: ({ qkv }) => qkv,
  gradients: ['table'],
  tfjs: (tf, { qkv, table, out, lse, dy }, sizes, { mask }) => {
    const [q, k, v] = splitWindows(tf, qkv, 3, sizes) as [tfjs.Tensor, tfjs.Tensor, tfjs.Tensor];
    const [y, dyHeads] = [splitWindows(tf, out, 1, sizes)[0], splitWindows(tf, dy, 1, sizes)[0]] as [tfjs.Tensor, tfjs.Tensor];
    const p = tf.exp(tf.sub(scoresOf(tf, q, k, table, sizes), tf.expandDims(lse, -1)));
    const dv = tf.matMul(mask ? tf.mul(p, mask) : p, dyHeads, true, false);
    const reach = tf.matMul(dyHeads, v, false, true);
    const g = mask ? tf.mul(reach, mask) : reach;
    const ds = tf.mul(p, tf.sub(g, tf.sum(tf.mul(dyHeads, y), -1, true)));
    const scaled = tf.mul(ds, sizes.scale);
    return {
      y: joinWindows(tf, [tf.matMul(scaled, k), tf.matMul(scaled, q, true, false), dv], sizes),
      table: biasGradient(tf, ds, table.shape[0] ?? 0, sizes),
    };
  },
});

/** Σ over samples, windows and the pairs that use a row of the table. */
function biasGradient(tf: TensorFlow, ds: tfjs.Tensor, rows: number, { window, heads }: SizeValues): tfjs.Tensor {
  const pairs = tf.transpose(tf.reshape(tf.sum(ds, [0, 1]), [heads, window ** 4]));
  return tf.unsortedSegmentSum(pairs, tf.tensor1d(biasRows(window), 'int32'), rows);
}

/**
 * Window attention on a token map's qkv [H·W, 3·D]: [H·W, D]. table: [(2w − 1)², heads]. The dropout site has shape [windows, heads, w², w²]; q is
 * scaled by head_dim^−½. Throws RangeError if the windows do not divide the map.
 */
export function windowAttention(qkv: Tensor, table: Parameter, windows: Windows, heads: number, drop: DropScope): Tensor {
  const { height, width, window, shift } = windows;
  const channels = gridOf(qkv, windows) / 3;
  const headDim = channels / heads;
  if (!Number.isInteger(headDim)) throw new RangeError(`window attention: ${heads} heads do not divide a width of ${channels}`);
  if (height % window !== 0 || width % window !== 0) {
    throw new RangeError(`a map of ${height}×${width} tokens does not divide into windows of ${window}`);
  }
  if (shift < 0 || shift >= window) throw new RangeError(`a shift of ${shift} is outside 0..${window - 1}`);
  const attributes = { height, width, window, shift, heads, head_dim: headDim, scale: headDim ** -0.5 };
  const site = drop.site([windowCount(windows), heads, window ** 2, window ** 2]);
  return apply({ qkv, table }, attributes, { site }).y;
}
