import { operation } from '../operation.js';
import { rowsOf, type Tensor } from '../tensor.js';

/** y = a + b, of equal shape. */
const apply = operation<{ inputs: 'a' | 'b'; attributes: 'rows' | 'width' }>({
  name: 'add',
  shape: ({ a }) => a,
  inPlace: 'a',
  gradient: (dy) => ({ a: () => dy, b: () => dy }),
  tfjs: (tf, { a, b }) => ({ y: tf.add(a, b) }),
});

export function add(a: Tensor, b: Tensor): Tensor {
  if (a.shape.join() !== b.shape.join()) throw new Error(`add: shapes [${a.shape}] and [${b.shape}] differ`);
  return apply({ a, b }, rowsOf(a.shape)).y;
}
