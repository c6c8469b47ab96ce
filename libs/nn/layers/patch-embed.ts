import { uniform } from '../initialisation.js';
import type { ParamScope } from '../model.js';
import { linear } from '../ops/linear.js';
import { patches } from '../ops/patches.js';
import { rowsOf, type Tensor } from '../tensor.js';

/** Images [C, H, W] → patch embeddings [N, width]. Stored and initialised as PyTorch's convolution: weight [width, C, p, p], U(±1/√fan_in). */
export function patchEmbed(images: Tensor, patch: number, width: number, param: ParamScope): Tensor {
  const cut = patches(images, patch);
  const bound = uniform(1 / Math.sqrt(rowsOf(cut.shape).width));
  return linear(cut, width, param, { weight: bound, bias: bound, weightShape: [width, images.shape[0] ?? 0, patch, patch] });
}
