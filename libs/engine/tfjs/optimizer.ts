/** The optimizer on all parameters as one vector: about 15 operations for any number of parameters. */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { TensorFlow } from '#nn/operation.js';
import type { OptimizerScalars } from '../executable.js';

export interface FlatVectors {
  weights: tfjs.Tensor;
  gradients: tfjs.Tensor;
  first_moment: tfjs.Tensor;
  second_moment: tfjs.Tensor;
  ema: tfjs.Tensor;
}

/** Runs in the caller's tidy. `gradNorm` is the norm before clipping. Formulas: fixtures' README §5; every scalar is rounded to float32 once. */
export function optimize(
  tf: TensorFlow,
  vectors: FlatVectors,
  gradNorm: number,
  scalars: OptimizerScalars,
  expand: (perParameter: Float64Array) => tfjs.Tensor,
): Omit<FlatVectors, 'gradients'> {
  const { kind, learningRate, weightDecay, clip, emaDecay } = scalars;
  const factor = clip > 0 ? Math.min(1, clip / (gradNorm + 1e-6)) : 1;
  const g = factor === 1 ? vectors.gradients : tf.mul(vectors.gradients, factor);
  const { weights, first_moment, second_moment } =
    kind === 'adamw'
      ? adamw(tf, vectors, g, scalars, expand)
      : momentum(tf, vectors, g, kind === 'sgd', scalars, expand(learningRate), expand(weightDecay));
  const ema = emaDecay < 0 ? tf.clone(vectors.ema) : tf.add(tf.mul(vectors.ema, emaDecay), tf.mul(weights, 1 - emaDecay));
  return { weights, first_moment, second_moment, ema };
}

function adamw(
  tf: TensorFlow,
  vectors: FlatVectors,
  g: tfjs.Tensor,
  { beta1, beta2, eps, step, learningRate, weightDecay }: OptimizerScalars,
  expand: (perParameter: Float64Array) => tfjs.Tensor,
): Pick<FlatVectors, 'weights' | 'first_moment' | 'second_moment'> {
  const rate = expand(learningRate.map((lr) => lr / (1 - beta1 ** step)));
  const shrink = expand(learningRate.map((lr, k) => 1 - lr * (weightDecay[k] as number)));
  const first_moment = tf.add(tf.mul(vectors.first_moment, beta1), tf.mul(g, 1 - beta1));
  const second_moment = tf.add(tf.mul(vectors.second_moment, beta2), tf.mul(tf.square(g), 1 - beta2));
  const denominator = tf.add(tf.mul(tf.sqrt(second_moment), 1 / Math.sqrt(1 - beta2 ** step)), eps);
  const weights = tf.sub(tf.mul(vectors.weights, shrink), tf.mul(rate, tf.div(first_moment, denominator)));
  return { weights, first_moment, second_moment };
}

/** SGD with momentum, plain or Nesterov; weight decay is added to the gradient. The first buffer equals the gradient, because buffers start at 0. */
function momentum(
  tf: TensorFlow,
  vectors: FlatVectors,
  g: tfjs.Tensor,
  nesterov: boolean,
  { momentum: mu }: OptimizerScalars,
  rate: tfjs.Tensor,
  decay: tfjs.Tensor,
): Pick<FlatVectors, 'weights' | 'first_moment' | 'second_moment'> {
  const decayed = tf.add(g, tf.mul(decay, vectors.weights));
  const first_moment = tf.add(tf.mul(vectors.first_moment, mu), decayed);
  const update = nesterov ? tf.add(decayed, tf.mul(first_moment, mu)) : first_moment;
  return { weights: tf.sub(vectors.weights, tf.mul(rate, update)), first_moment, second_moment: tf.clone(vectors.second_moment) };
}
