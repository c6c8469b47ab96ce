import { type Apply, operation } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

type Signature = { inputs: 'x'; attributes: 'tokens' | 'width' };

/** Exchanges tokens and channels: x [N, D] → y [D, N]. Its gradient is the same operation in the other direction. */
const apply: Apply<Signature> = operation<Signature>({
  name: 'transpose_tokens',
  shape: (_, { tokens, width }) => [width, tokens],
  gradient: (dy, { attributes: { tokens, width } }) => ({ x: () => apply({ x: dy }, { tokens: width, width: tokens }).y }),
  tfjs: (tf, { x }) => ({ y: tf.transpose(x, [0, 2, 1]) }),
});

export function transposeTokens(x: Tensor): Tensor {
  const { rows: tokens, width } = rowsOf(x.shape);
  return apply({ x }, { tokens, width }).y;
}
