import { operation } from '../operation.js';
import type { Tensor } from '../tensor.js';

/**
 * Cuts images into patches; each patch becomes a row in the order of a convolution's weight: images [C, H, W] → y [N, C·p·p], N = H/p · W/p row by
 * row, columns (c, y, x). Images need no gradient.
 */
const apply = operation<{ inputs: 'images'; attributes: 'channels' | 'height' | 'width' | 'patch' }>({
  name: 'patches',
  shape: (_, { channels, height, width, patch }) => [(height / patch) * (width / patch), channels * patch * patch],
  tfjs: (tf, { images }, { channels, height, width, patch }) => {
    const [down, across] = [height / patch, width / patch];
    const blocks = tf.transpose(tf.reshape(images, [-1, channels, down, patch, across, patch]), [0, 2, 4, 1, 3, 5]);
    return { y: tf.reshape(blocks, [-1, down * across, channels * patch * patch]) };
  },
});

/** Number of patches of an image. Throws RangeError if the patch does not divide the image's sides. */
export function patchCount(images: Tensor, patch: number): number {
  const [, height = 0, width = 0] = images.shape;
  if (height % patch !== 0 || width % patch !== 0)
    throw new RangeError(`images of ${height}×${width} do not divide into patches of ${patch}`);
  return (height / patch) * (width / patch);
}

export function patches(images: Tensor, patch: number): Tensor {
  patchCount(images, patch);
  const [channels = 0, height = 0, width = 0] = images.shape;
  return apply({ images }, { channels, height, width, patch }).y;
}
