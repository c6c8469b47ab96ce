import { operation } from '../operation.js';
import { type Parameter, rowsOf, type Tensor } from '../tensor.js';

type Sizes = 'tokens' | 'width';

/** y = [token; x]: x [N, D], token D values → y [N + 1, D]. */
const apply = operation<{ inputs: 'x' | 'token'; attributes: Sizes }>({
  name: 'prepend_token',
  shape: (_, { tokens, width }) => [tokens + 1, width],
  gradient: (dy, { inputs: { token }, attributes }) => {
    const dx = gradient({ dy, token }, attributes);
    return { x: () => dx.y };
  },
  tfjs: (tf, { x, token }, { width }) => {
    const [samples = 0] = x.shape;
    return { y: tf.concat([tf.tile(tf.reshape(token, [1, 1, width]), [samples, 1, 1]), x], 1) };
  },
});

/** dx = dy without its first row; token += Σ over samples of that row. */
const gradient = operation<{ inputs: 'dy' | 'token'; attributes: Sizes; gradients: 'token' }>({
  name: 'prepend_token_grad',
  shape: (_, { tokens, width }) => [tokens, width],
  gradients: ['token'],
  tfjs: (tf, { dy, token }, { tokens, width }) => {
    const [samples = 0] = dy.shape;
    return {
      y: tf.slice(dy, [0, 1, 0], [samples, tokens, width]),
      token: tf.reshape(tf.sum(tf.slice(dy, [0, 0, 0], [samples, 1, width]), 0), token.shape),
    };
  },
});

export function prependToken(x: Tensor, token: Parameter): Tensor {
  const { rows: tokens, width } = rowsOf(x.shape);
  return apply({ x, token }, { tokens, width }).y;
}
