import { operation } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

type Sizes = 'tokens' | 'width';

/** Mean over the rows of every sample: x [N, D] → y [D]. */
const apply = operation<{ inputs: 'x'; attributes: Sizes }>({
  name: 'mean_tokens',
  shape: (_, { width }) => [width],
  gradient: (dy, { attributes }) => ({ x: () => gradient({ dy }, attributes).y }),
  tfjs: (tf, { x }) => ({ y: tf.mean(x, 1) }),
});

/** dy/N in every row. */
const gradient = operation<{ inputs: 'dy'; attributes: Sizes }>({
  name: 'mean_tokens_grad',
  shape: (_, { tokens, width }) => [tokens, width],
  tfjs: (tf, { dy }, { tokens }) => ({ y: tf.tile(tf.expandDims(tf.div(dy, tokens), 1), [1, tokens, 1]) }),
});

export function meanTokens(x: Tensor): Tensor {
  const { rows: tokens, width } = rowsOf(x.shape);
  return apply({ x }, { tokens, width }).y;
}
