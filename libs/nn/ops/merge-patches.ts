import type * as tfjs from '@tensorflow/tfjs-core';
import { operation, type TensorFlow } from '../operation.js';
import { type Grid, gridOf, type Tensor } from '../tensor.js';

type Sizes = 'height' | 'width' | 'channels' | 'order';
type SizeValues = { readonly [name in Sizes]: number };

/** Axes of [n, H/2, dy, W/2, dx, C] in the order of the result: the axes of its rows, and then those of its columns. */
const axes = ({ order }: SizeValues) => (order === 0 ? [0, 1, 3, 5, 2, 4] : [0, 1, 3, 4, 2, 5]);

function split({ height, width, channels }: SizeValues): number[] {
  return [-1, height / 2, 2, width / 2, 2, channels];
}

/**
 * Concatenates 2×2 neighbouring tokens: x [H·W, C] → y [H/2 · W/2, 4C]. Order 0: columns (c, dy, dx), like the flattened weight of a 2×2 convolution.
 * Order 1: (dx, dy, c), as in Swin.
 */
const apply = operation<{ inputs: 'x'; attributes: Sizes }>({
  name: 'merge_patches',
  shape: (_, { height, width, channels }) => [(height * width) / 4, 4 * channels],
  gradient: (dy, { attributes }) => ({ x: () => gradient({ dy }, attributes).y }),
  tfjs: (tf, { x }, sizes) => {
    const { height, width, channels } = sizes;
    const merged = tf.transpose(tf.reshape(x, split(sizes)), axes(sizes));
    return { y: tf.reshape(merged, [-1, (height * width) / 4, 4 * channels]) };
  },
});

/** Returns every value to its token. */
const gradient = operation<{ inputs: 'dy'; attributes: Sizes }>({
  name: 'merge_patches_grad',
  shape: (_, { height, width, channels }) => [height * width, channels],
  tfjs: (tf, { dy }, sizes) => ({ y: unmerge(tf, dy, sizes) }),
});

function unmerge(tf: TensorFlow, dy: tfjs.Tensor, sizes: SizeValues): tfjs.Tensor {
  const { height, width, channels } = sizes;
  const order = axes(sizes);
  const merged = tf.reshape(
    dy,
    order.map((axis) => split(sizes)[axis] as number),
  );
  const back = tf.transpose(
    merged,
    order.map((_, axis) => order.indexOf(axis)),
  );
  return tf.reshape(back, [-1, height * width, channels]);
}

/** Merges 2×2 neighbours of a token map [H·W, C] into [H/2 · W/2, 4C]. `columns` is the order of the 4C. Throws RangeError for odd sides. */
export function mergePatches(x: Tensor, grid: Grid, columns: 'as convolution' | 'as Swin'): Tensor {
  const channels = gridOf(x, grid);
  if (grid.height % 2 !== 0 || grid.width % 2 !== 0) {
    throw new RangeError(`a map of ${grid.height}×${grid.width} tokens does not divide into 2×2 neighbours`);
  }
  return apply({ x }, { ...grid, channels, order: columns === 'as convolution' ? 0 : 1 }).y;
}
