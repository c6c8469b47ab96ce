import { normal, xavierUniform, zeros } from '../initialisation.js';
import { mlp } from '../layers/mlp.js';
import { patchEmbed } from '../layers/patch-embed.js';
import { type Model, model } from '../model.js';
import { layerNorm } from '../ops/layer-norm.js';
import { linear } from '../ops/linear.js';
import { meanTokens } from '../ops/mean-tokens.js';
import { residual } from '../ops/residual.js';
import { transposeTokens } from '../ops/transpose-tokens.js';

export interface MixerConfig {
  /** Width D of the residual stream; even. */
  dim: number;
  depth: number;
  /** Side of a patch in pixels; divides the image. */
  patch: number;
  classes: number;
}

/**
 * MLP-Mixer (Tolstikhin et al. 2021); names, order, initialisation and drop sites are those of timm's mixer_*_224. The token MLPs fix the image size.
 */
export function mixer({ dim, depth, patch, classes }: MixerConfig): Model {
  return model('mixer', ({ images, param, drop }) => {
    const fanIn = (images.shape[0] ?? 0) * patch ** 2;
    // 0.8796 is the deviation of a normal truncated at two deviations; the reference divides by it without truncating.
    const stem = { weight: normal(1 / Math.sqrt(fanIn) / 0.87962566103423978), bias: zeros };
    const init = { weight: xavierUniform, bias: normal(1e-6) };
    let x = patchEmbed(images, patch, dim, param('stem.proj'), stem); // [B, N, D]
    for (let k = 0; k < depth; k++) {
      const [p, d] = [param(`blocks.${k}`), drop(`blocks.${k}`)];
      x = residual(x, drop.path(k, 0), (y) => {
        const mixed = mlp(transposeTokens(layerNorm(y, p('norm1'))), dim / 2, p('mlp_tokens'), d, { ...init, site: 'mlp_tokens' }); // [B, D, N]
        return transposeTokens(mixed);
      });
      x = residual(x, drop.path(k, 1), (y) =>
        mlp(layerNorm(y, p('norm2')), 4 * dim, p('mlp_channels'), d, { ...init, site: 'mlp_channels' }),
      );
    }
    return linear(meanTokens(layerNorm(x, param('norm'))), classes, param('head'), { weight: zeros, bias: zeros }); // [B, classes]
  });
}
