import { mlp } from '../layers/mlp.js';
import { patchEmbed } from '../layers/patch-embed.js';
import { windowSelfAttention } from '../layers/window-self-attention.js';
import { type Model, model } from '../model.js';
import { dropout } from '../ops/dropout.js';
import { layerNorm } from '../ops/layer-norm.js';
import { linear } from '../ops/linear.js';
import { meanTokens } from '../ops/mean-tokens.js';
import { mergePatches } from '../ops/merge-patches.js';
import { residual } from '../ops/residual.js';
import type { Windows } from '../ops/window-attention.js';
import type { Grid } from '../tensor.js';

export interface SwinConfig {
  /** Width of the first stage; every further one is twice as wide. */
  dim: number;
  /** Blocks of each stage. */
  depths: readonly number[];
  /** Heads of each stage; each must divide the stage's width. */
  heads: readonly number[];
  /** Side of a patch in pixels. Default 4. */
  patch?: number;
  /** Side of a window in tokens; must divide the maps of all stages that are larger. Default 7. */
  window?: number;
  classes: number;
}

const norm = { eps: 1e-5 };

/** Swin (Liu et al. 2021), without absolute positions; names, order, initialisation and drop sites are those of timm's swin_*_patch4_window7_224. */
export function swin({ dim, depths, heads, patch = 4, window = 7, classes }: SwinConfig): Model {
  return model('swin', ({ images, param, drop }) => {
    const [, imageHeight = 0, imageWidth = 0] = images.shape;
    let grid: Grid = { height: imageHeight / patch, width: imageWidth / patch };
    let x = patchEmbed(images, patch, dim, param('patch_embed.proj')); // [B, H·W, D]
    x = dropout(layerNorm(x, param('patch_embed.norm'), norm), drop('pos_drop'));
    let block = 0; // counted over all stages
    for (const [stage, depth] of depths.entries()) {
      const width = dim * 2 ** stage;
      for (let k = 0; k < depth; k++, block++) {
        const path = `layers.${stage}.blocks.${k}`;
        const [p, d] = [param(path), drop(path)];
        const windows = windowsOf(grid, window, k % 2 === 1);
        x = residual(x, drop.path(block, 0), (y) =>
          windowSelfAttention(layerNorm(y, p('norm1'), norm), windows, heads[stage] ?? 1, p('attn'), d),
        );
        x = residual(x, drop.path(block, 1), (y) => mlp(layerNorm(y, p('norm2'), norm), 4 * width, p('mlp'), d));
      }
      if (stage < depths.length - 1) {
        const p = param(`layers.${stage}.downsample`);
        const merged = layerNorm(mergePatches(x, grid, 'as Swin'), p('norm'), norm); // [B, H/2 · W/2, 4D]
        x = linear(merged, 2 * width, p('reduction'), { bias: null }); // [B, H/2 · W/2, 2D]
        grid = { height: grid.height / 2, width: grid.width / 2 };
      }
    }
    return linear(meanTokens(layerNorm(x, param('norm'), norm)), classes, param('head')); // [B, classes]
  });
}

/** The windows of every second block are shifted by half a window, unless one window covers the map. */
function windowsOf(grid: Grid, window: number, shifted: boolean): Windows {
  const side = Math.min(grid.height, grid.width);
  if (side <= window) return { ...grid, window: side, shift: 0 };
  return { ...grid, window, shift: shifted ? Math.floor(window / 2) : 0 };
}
