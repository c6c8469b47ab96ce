import { normal, zeros } from '../initialisation.js';
import type { ParamScope } from '../model.js';
import { operation } from '../operation.js';
import type { Initializer, Tensor } from '../tensor.js';
import { elements, rowsOf } from '../tensor.js';

type Sizes = 'rows' | 'in' | 'out';

/** y = x · weightᵀ + bias over the last axis. x: [..., in]; weight: [out, in] (trailing axes of a convolution count as `in`); bias: [out]. */
const apply = operation<{ inputs: 'x' | 'weight'; optional: 'bias'; attributes: Sizes }>({
  name: 'linear',
  shape: ({ x }, { out }) => [...x.slice(0, -1), out],
  gradient: (dy, { inputs: { x, weight, bias }, attributes }) => {
    weightGradient({ x, dy, weight, bias }, attributes);
    return { x: () => inputGradient({ dy, weight }, attributes).y };
  },
  tfjs: (tf, { x, weight, bias }, { in: k, out }) => {
    const product = tf.matMul(tf.reshape(x, [-1, k]), tf.reshape(weight, [out, k]), false, true);
    return { y: tf.reshape(bias ? tf.add(product, bias) : product, [...x.shape.slice(0, -1), out]) };
  },
});

/** dx = dy · weight. */
const inputGradient = operation<{ inputs: 'dy' | 'weight'; attributes: Sizes }>({
  name: 'linear_input_grad',
  shape: ({ dy }, { in: k }) => [...dy.slice(0, -1), k],
  tfjs: (tf, { dy, weight }, { in: k, out }) => {
    const product = tf.matMul(tf.reshape(dy, [-1, out]), tf.reshape(weight, [out, k]));
    return { y: tf.reshape(product, [...dy.shape.slice(0, -1), k]) };
  },
});

/** weight += dyᵀ · x; bias += column sums of dy. */
const weightGradient = operation<{ inputs: 'x' | 'dy' | 'weight'; optional: 'bias'; attributes: Sizes; gradients: 'weight' | 'bias' }>({
  name: 'linear_weight_grad',
  shape: () => null,
  gradients: ['weight', 'bias'],
  tfjs: (tf, { x, dy, weight }, { in: k, out }) => {
    const rows = tf.reshape(dy, [-1, out]);
    return {
      weight: tf.reshape(tf.matMul(rows, tf.reshape(x, [-1, k]), true, false), weight.shape),
      bias: tf.sum(rows, 0),
    };
  },
});

export interface LinearOptions {
  /** An initializer, or a function of the shape that returns one. Default: normal with deviation 0.02. */
  weight?: Initializer | ((fanIn: number, fanOut: number) => Initializer);
  /** Default: zeros; null for no bias. */
  bias?: Initializer | null;
  /** Shape in which the weight is stored, [out, ...], if it is that of a convolution. */
  weightShape?: readonly number[];
}

/** A linear layer with parameters `weight` and `bias`: [..., in] → [..., out]. */
export function linear(x: Tensor, out: number, param: ParamScope, options: LinearOptions = {}): Tensor {
  const { rows, width } = rowsOf(x.shape);
  const shape = options.weightShape ?? [out, width];
  if (elements(shape) !== out * width) throw new Error(`${param.path}.weight: [${shape}] does not fit ${width} → ${out}`);
  const { weight: init = normal(0.02) } = options;
  const weight = param('weight').declare(shape, typeof init === 'function' ? init(width, out) : init);
  const bias = options.bias === null ? undefined : param('bias').declare([out], options.bias ?? zeros);
  return apply({ x, weight, bias }, { rows, in: width, out }).y;
}
