import type * as tfjs from '@tensorflow/tfjs-core';
import { normal, zeros } from '../initialisation.js';
import type { ParamScope } from '../model.js';
import { operation, type TensorFlow } from '../operation.js';
import { type Grid, gridOf, type Tensor } from '../tensor.js';

type Sizes = 'height' | 'width' | 'channels' | 'kernel';
type SizeValues = { readonly [name in Sizes]: number };

/** Tokens [n, H·W, C] as a map with a border of zeros, [n, H + k − 1, W + k − 1, C]. */
function padded(tf: TensorFlow, x: tfjs.Tensor, { height, width, channels, kernel }: SizeValues): tfjs.Tensor4D {
  const border: [number, number] = [(kernel - 1) / 2, (kernel - 1) / 2];
  return tf.pad(tf.reshape(x, [-1, height, width, channels]), [[0, 0], border, border, [0, 0]]) as tfjs.Tensor4D;
}

/** Converts a weight [C, 1, k, k] to tfjs's filter layout [k, k, C, 1]. */
function filterOf(tf: TensorFlow, weight: tfjs.Tensor): tfjs.Tensor4D {
  return tf.transpose(weight, [2, 3, 0, 1]) as tfjs.Tensor4D;
}

/**
 * Convolves each channel with its own k×k filter, stride 1, zero padding k÷2: tokens x [H·W, C] → y [H·W, C]. weight: [C, 1, k, k], not flipped, as
 * in PyTorch; bias: [C].
 */
const apply = operation<{ inputs: 'x' | 'weight' | 'bias'; attributes: Sizes }>({
  name: 'depthwise_conv',
  shape: ({ x }) => x,
  gradient: (dy, { inputs: { x, weight, bias }, attributes }) => {
    weightGradient({ x, dy, weight, bias }, attributes);
    return { x: () => inputGradient({ dy, weight }, attributes).y };
  },
  // The map is padded by hand because the tensorflow backend supports neither 'same' nor explicit padding here.
  tfjs: (tf, { x, weight, bias }, sizes) => {
    const y = tf.depthwiseConv2d(padded(tf, x, sizes), filterOf(tf, weight), 1, 'valid');
    return { y: tf.reshape(tf.add(y, bias), x.shape) };
  },
});

/** dx is dy convolved with the filters rotated by 180°. */
const inputGradient = operation<{ inputs: 'dy' | 'weight'; attributes: Sizes }>({
  name: 'depthwise_conv_input_grad',
  shape: ({ dy }) => dy,
  tfjs: (tf, { dy, weight }, sizes) => {
    const turned = tf.reverse(filterOf(tf, weight), [0, 1]);
    return { y: tf.reshape(tf.depthwiseConv2d(padded(tf, dy, sizes), turned, 1, 'valid'), dy.shape) };
  },
});

/** weight[c, 0, i, j] += Σ dy[y, x, c] · x[y + i − k÷2, x + j − k÷2, c]; bias += Σ dy. */
const weightGradient = operation<{
  inputs: 'x' | 'dy' | 'weight' | 'bias';
  attributes: Sizes;
  gradients: 'weight' | 'bias';
}>({
  name: 'depthwise_conv_weight_grad',
  shape: () => null,
  gradients: ['weight', 'bias'],
  tfjs: (tf, { x, dy, weight }, sizes) => {
    const { height, width, channels, kernel } = sizes;
    const [map, grid] = [padded(tf, x, sizes), tf.reshape(dy, [-1, height, width, channels])];
    const [samples] = map.shape;
    const taps = Array.from({ length: kernel * kernel }, (_, tap) => {
      const seen = tf.slice(map, [0, Math.floor(tap / kernel), tap % kernel, 0], [samples, height, width, channels]);
      return tf.tidy(() => tf.sum(tf.mul(seen, grid), [0, 1, 2]));
    });
    return { weight: tf.reshape(tf.transpose(tf.stack(taps)), weight.shape), bias: tf.sum(grid, [0, 1, 2]) };
  },
});

/** A depthwise convolution of a token map [H·W, C] with parameters `weight` (normal, deviation 0.02) and `bias` (zeros); `kernel` is odd. */
export function depthwiseConv(x: Tensor, grid: Grid, kernel: number, param: ParamScope): Tensor {
  const channels = gridOf(x, grid);
  if (kernel % 2 !== 1) throw new RangeError(`${param.path}: kernel is ${kernel}, must be odd`);
  const weight = param('weight').declare([channels, 1, kernel, kernel], normal(0.02));
  const bias = param('bias').declare([channels], zeros);
  return apply({ x, weight, bias }, { ...grid, channels, kernel }).y;
}
