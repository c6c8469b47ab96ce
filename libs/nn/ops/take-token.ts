import { operation } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

type Sizes = 'tokens' | 'width' | 'token';

/** Row `token` of every sample: x [N, D] → y [D]. */
const apply = operation<{ inputs: 'x'; attributes: Sizes }>({
  name: 'take_token',
  shape: (_, { width }) => [width],
  gradient: (dy, { attributes }) => ({ x: () => gradient({ dy }, attributes).y }),
  tfjs: (tf, { x }, { token, width }) => ({ y: tf.reshape(tf.slice(x, [0, token, 0], [x.shape[0] ?? 0, 1, width]), [-1, width]) }),
});

/** dy in row `token`, zero elsewhere. */
const gradient = operation<{ inputs: 'dy'; attributes: Sizes }>({
  name: 'take_token_grad',
  shape: (_, { tokens, width }) => [tokens, width],
  tfjs: (tf, { dy }, { tokens, token }) => ({
    y: tf.pad(tf.expandDims(dy, 1), [
      [0, 0],
      [token, tokens - 1 - token],
      [0, 0],
    ]),
  }),
});

export function takeToken(x: Tensor, token: number): Tensor {
  const { rows: tokens, width } = rowsOf(x.shape);
  if (token < 0 || token >= tokens) throw new RangeError(`token is ${token}, must be from 0 to ${tokens - 1}`);
  return apply({ x }, { tokens, width, token }).y;
}
