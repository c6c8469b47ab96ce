import { uniform } from '../initialisation.js';
import type { ParamScope } from '../model.js';
import { type LinearOptions, linear } from '../ops/linear.js';
import { patches } from '../ops/patches.js';
import { rowsOf, type Tensor } from '../tensor.js';

/**
 * Images [C, H, W] → patch embeddings [N, width]: a convolution whose stride and kernel are `patch`. Its weight is stored as [width, C, p, p]. By
 * default, weight and bias are initialised as in PyTorch, U(±1/√fan_in).
 */
export function patchEmbed(
  images: Tensor,
  patch: number,
  width: number,
  param: ParamScope,
  init: Pick<LinearOptions, 'weight' | 'bias'> = {},
): Tensor {
  const cut = patches(images, patch);
  const bound = uniform(1 / Math.sqrt(rowsOf(cut.shape).width));
  return linear(cut, width, param, { weight: bound, bias: bound, ...init, weightShape: [width, images.shape[0] ?? 0, patch, patch] });
}
