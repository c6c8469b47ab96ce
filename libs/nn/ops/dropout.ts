import type { DropScope } from '../model.js';
import { type Apply, operation } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

type Signature = { inputs: 'x'; attributes: 'rows' | 'width' };

/**
 * y = kept ? x/(1 − p) : 0 by the site's mask. The mask is drawn again whenever it is needed, and never stored. The operation is its own gradient. At
 * rate 0 and in evaluation, y = x.
 */
const apply: Apply<Signature> = operation<Signature>({
  name: 'dropout',
  shape: ({ x }) => x,
  inPlace: 'x',
  gradient: (dy, { attributes, site }) => ({ x: () => apply({ x: dy }, attributes, { site }).y }),
  tfjs: (tf, { x }, _, { mask }) => ({ y: mask ? tf.mul(x, mask) : tf.clone(x) }),
});

export function dropout(x: Tensor, drop: DropScope): Tensor {
  return apply({ x }, rowsOf(x.shape), { site: drop.site(x.shape) }).y;
}
