import { normal } from '../initialisation.js';
import { mlp } from '../layers/mlp.js';
import { patchEmbed } from '../layers/patch-embed.js';
import { selfAttention } from '../layers/self-attention.js';
import { type Model, model } from '../model.js';
import { addPositions } from '../ops/add-positions.js';
import { dropout } from '../ops/dropout.js';
import { layerNorm } from '../ops/layer-norm.js';
import { linear } from '../ops/linear.js';
import { patchCount } from '../ops/patches.js';
import { prependToken } from '../ops/prepend-token.js';
import { residual } from '../ops/residual.js';
import { takeToken } from '../ops/take-token.js';

export interface VitConfig {
  /** Width D of the residual stream; a multiple of heads. */
  dim: number;
  depth: number;
  heads: number;
  /** Side of a patch in pixels; divides the image. */
  patch: number;
  classes: number;
}

/** ViT (Dosovitskiy et al. 2021), pre-norm, MLP ratio 4; names, order, initialisation and drop sites are those of timm's vit_*_patch16_224. */
export function vit({ dim, depth, heads, patch, classes }: VitConfig): Model {
  return model('vit', ({ images, param, drop }) => {
    const token = param('cls_token').declare([1, 1, dim], normal(0.02));
    const positions = param('pos_embed').declare([1, 1 + patchCount(images, patch), dim], normal(0.02));
    let x = patchEmbed(images, patch, dim, param('patch_embed.proj')); // [B, N, D]
    x = addPositions(prependToken(x, token), positions); // [B, 1 + N, D]
    x = dropout(x, drop('pos_drop'));
    for (let k = 0; k < depth; k++) {
      const [p, d] = [param(`blocks.${k}`), drop(`blocks.${k}`)];
      x = residual(x, drop.path(k, 0), (y) => selfAttention(layerNorm(y, p('norm1')), heads, p('attn'), d));
      x = residual(x, drop.path(k, 1), (y) => mlp(layerNorm(y, p('norm2')), 4 * dim, p('mlp'), d));
    }
    // The final norm works on each token separately, so it is only computed for the class token.
    return linear(layerNorm(takeToken(x, 0), param('norm')), classes, param('head')); // [B, classes]
  });
}
