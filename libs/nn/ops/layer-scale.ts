import { operation } from '../operation.js';
import { type Parameter, rowsOf, type Tensor } from '../tensor.js';

type Sizes = 'rows' | 'width';

/** y = x · gamma over the last axis. x: [..., D]; gamma: [D]. */
const apply = operation<{ inputs: 'x' | 'gamma'; attributes: Sizes }>({
  name: 'layer_scale',
  shape: ({ x }) => x,
  gradient: (dy, { inputs: { x, gamma }, attributes }) => {
    const dx = gradient({ x, gamma, dy }, attributes);
    return { x: () => dx.y };
  },
  tfjs: (tf, { x, gamma }) => ({ y: tf.mul(x, gamma) }),
});

/** dx = dy · gamma; gamma += Σ dy · x. */
const gradient = operation<{ inputs: 'x' | 'gamma' | 'dy'; attributes: Sizes; gradients: 'gamma' }>({
  name: 'layer_scale_grad',
  shape: ({ x }) => x,
  gradients: ['gamma'],
  tfjs: (tf, { x, gamma, dy }, { width }) => ({
    y: tf.mul(dy, gamma),
    gamma: tf.sum(tf.reshape(tf.mul(dy, x), [-1, width]), 0),
  }),
});

export function layerScale(x: Tensor, gamma: Parameter): Tensor {
  return apply({ x, gamma }, rowsOf(x.shape)).y;
}
