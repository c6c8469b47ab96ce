import { operation } from '../operation.js';
import { type Parameter, rowsOf, type Tensor } from '../tensor.js';

type Sizes = 'tokens' | 'width';

/** y = x + positions, the same for every sample. x, positions: [N, D]. */
const apply = operation<{ inputs: 'x' | 'positions'; attributes: Sizes }>({
  name: 'add_positions',
  shape: ({ x }) => x,
  inPlace: 'x',
  gradient: (dy, { inputs: { positions }, attributes }) => {
    gradient({ dy, positions }, attributes);
    return { x: () => dy };
  },
  tfjs: (tf, { x, positions }, { tokens, width }) => ({ y: tf.add(x, tf.reshape(positions, [1, tokens, width])) }),
});

/** positions += Σ over samples of dy. */
const gradient = operation<{ inputs: 'dy' | 'positions'; attributes: Sizes; gradients: 'positions' }>({
  name: 'add_positions_grad',
  shape: () => null,
  gradients: ['positions'],
  tfjs: (tf, { dy, positions }) => ({ positions: tf.reshape(tf.sum(dy, 0), positions.shape) }),
});

export function addPositions(x: Tensor, positions: Parameter): Tensor {
  const { rows: tokens, width } = rowsOf(x.shape);
  return apply({ x, positions }, { tokens, width }).y;
}
