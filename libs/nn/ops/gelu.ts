import type * as tfjs from '@tensorflow/tfjs-core';
import { operation, type TensorFlow } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

/** Φ(x) = ½(1 + erf(x/√2)). */
const normalDistribution = (tf: TensorFlow, x: tfjs.Tensor) => tf.mul(tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1), 0.5);

/** y = x · Φ(x), the exact GELU. */
const apply = operation<{ inputs: 'x'; attributes: 'rows' | 'width' }>({
  name: 'gelu',
  shape: ({ x }) => x,
  gradient: (dy, { inputs: { x }, attributes }) => ({ x: () => gradient({ x, dy }, attributes).y }),
  tfjs: (tf, { x }) => ({ y: tf.mul(x, normalDistribution(tf, x)) }),
});

/** dx = dy · (Φ(x) + x · φ(x)), φ(x) = e^(−x²/2)/√(2π). */
const gradient = operation<{ inputs: 'x' | 'dy'; attributes: 'rows' | 'width' }>({
  name: 'gelu_grad',
  shape: ({ x }) => x,
  inPlace: 'dy',
  tfjs: (tf, { x, dy }) => {
    const density = tf.mul(tf.exp(tf.mul(tf.square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return { y: tf.mul(dy, tf.add(normalDistribution(tf, x), tf.mul(x, density))) };
  },
});

export function gelu(x: Tensor): Tensor {
  return apply({ x }, rowsOf(x.shape)).y;
}
