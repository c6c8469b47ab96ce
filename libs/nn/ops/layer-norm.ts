import { ones, zeros } from '../initialisation.js';
import type { ParamScope } from '../model.js';
import { operation } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

/** y = (x − mean) / √(var + eps) · weight + bias over the last axis. x: [..., D]; weight, bias: [D]. */
const apply = operation<{ inputs: 'x' | 'weight' | 'bias'; attributes: 'rows' | 'width' | 'eps'; saves: 'mean' | 'rstd' }>({
  name: 'layer_norm',
  shape: ({ x }) => x,
  saves: { mean: (_, { rows }) => [rows], rstd: (_, { rows }) => [rows] },
  gradient: (dy, { inputs: { x, weight, bias }, saved: { mean, rstd }, attributes: { rows, width } }) => {
    const dx = gradient({ x, weight, mean, rstd, dy, bias }, { rows, width });
    return { x: () => dx.y };
  },
  tfjs: (tf, { x, weight, bias }, { rows, eps }) => {
    const { mean, variance } = tf.moments(x, -1, true);
    const rstd = tf.rsqrt(tf.add(variance, eps));
    const y = tf.add(tf.mul(tf.mul(tf.sub(x, mean), rstd), weight), bias);
    return { y, mean: tf.reshape(mean, [-1, rows]), rstd: tf.reshape(rstd, [-1, rows]) };
  },
});

/** With n = (x − mean)·rstd and g = dy · weight: dx = rstd · (g − mean(g) − n · mean(g · n)); weight += Σ dy · n; bias += Σ dy. */
const gradient = operation<{
  inputs: 'x' | 'weight' | 'mean' | 'rstd' | 'dy' | 'bias';
  attributes: 'rows' | 'width';
  gradients: 'weight' | 'bias';
}>({
  name: 'layer_norm_grad',
  shape: ({ x }) => x,
  gradients: ['weight', 'bias'],
  tfjs: (tf, { x, weight, mean, rstd, dy }, { width }) => {
    const perRow = [...x.shape.slice(0, -1), 1];
    const scale = tf.reshape(rstd, perRow);
    const normalized = tf.mul(tf.sub(x, tf.reshape(mean, perRow)), scale);
    const g = tf.mul(dy, weight);
    const centred = tf.sub(tf.sub(g, tf.mean(g, -1, true)), tf.mul(normalized, tf.mean(tf.mul(g, normalized), -1, true)));
    const sums = (value: typeof dy) => tf.sum(tf.reshape(value, [-1, width]), 0);
    return { y: tf.mul(centred, scale), weight: sums(tf.mul(dy, normalized)), bias: sums(dy) };
  },
});

/** Layer norm with parameters `weight` (ones) and `bias` (zeros); eps 1e-6 unless given. */
export function layerNorm(x: Tensor, param: ParamScope, { eps = 1e-6 }: { eps?: number } = {}): Tensor {
  const { rows, width } = rowsOf(x.shape);
  const weight = param('weight').declare([width], ones);
  const bias = param('bias').declare([width], zeros);
  return apply({ x, weight, bias }, { rows, width, eps }).y;
}
