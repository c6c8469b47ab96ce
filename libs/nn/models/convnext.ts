import { constant, normal } from '../initialisation.js';
import { patchEmbed } from '../layers/patch-embed.js';
import { type Model, model, type ParamScope } from '../model.js';
import { depthwiseConv } from '../ops/depthwise-conv.js';
import { gelu } from '../ops/gelu.js';
import { layerNorm } from '../ops/layer-norm.js';
import { layerScale } from '../ops/layer-scale.js';
import { linear } from '../ops/linear.js';
import { meanTokens } from '../ops/mean-tokens.js';
import { mergePatches } from '../ops/merge-patches.js';
import { residual } from '../ops/residual.js';
import { type Grid, rowsOf, type Tensor } from '../tensor.js';

export interface ConvNextConfig {
  /** Blocks of each stage. */
  depths: readonly number[];
  /** Width of each stage. */
  dims: readonly number[];
  /** Side in pixels of the stem's convolution. Default 4. */
  patch?: number;
  classes: number;
  /** Initial value of every gamma; there are no gammas unless it is above 0. Default 1e-6. */
  layerScaleInitValue?: number;
  /** Factor of the head's initial weight. Default 1. */
  headInitScale?: number;
}

const KERNEL = 7;

/**
 * ConvNeXt (Liu et al. 2022); names, order and initialisation are those of the reference. It has stochastic depth only, and no dropout sites. Maps
 * are token tensors [H·W, C], so that the channels-first norm is a layer norm, and a convolution with stride k is a linear layer.
 */
export function convnext(config: ConvNextConfig): Model {
  const { depths, dims, patch = 4, classes, layerScaleInitValue = 1e-6, headInitScale = 1 } = config;
  const build: Model['build'] = ({ images, param, drop }) => {
    const [, imageHeight = 0, imageWidth = 0] = images.shape;
    let grid: Grid = { height: imageHeight / patch, width: imageWidth / patch };
    const stem = param('downsample_layers.0');
    let x = patchEmbed(images, patch, dims[0] ?? 0, stem('0'), { weight: normal(0.02), bias: constant(0) }); // [B, H·W, C]
    x = layerNorm(x, stem('1'));
    let block = 0; // counted over all stages
    for (const [stage, depth] of depths.entries()) {
      if (stage > 0) {
        x = downsample(x, grid, dims[stage] ?? 0, param(`downsample_layers.${stage}`)); // [B, H/2 · W/2, C']
        grid = { height: grid.height / 2, width: grid.width / 2 };
      }
      for (let k = 0; k < depth; k++, block++) {
        x = residual(x, drop.path(block, 0), (y) => branch(y, grid, layerScaleInitValue, param(`stages.${stage}.${k}`)));
      }
    }
    return linear(layerNorm(meanTokens(x), param('norm')), classes, param('head'), { weight: normal(0.02 * headInitScale) }); // [B, classes]
  };
  return model('convnext', build, { parameterOrder: ['downsample_layers', 'stages', 'norm', 'head'] });
}

/** Norm, then a 2×2 convolution with stride 2. */
function downsample(x: Tensor, grid: Grid, width: number, param: ParamScope): Tensor {
  const merged = mergePatches(layerNorm(x, param('0')), grid, 'as convolution');
  return linear(merged, width, param('1'), { weightShape: [width, rowsOf(x.shape).width, 2, 2] });
}

function branch(x: Tensor, grid: Grid, layerScaleInitValue: number, param: ParamScope): Tensor {
  const { width } = rowsOf(x.shape);
  const gamma = layerScaleInitValue > 0 ? param('gamma').declare([width], constant(layerScaleInitValue)) : undefined;
  const y = layerNorm(depthwiseConv(x, grid, KERNEL, param('dwconv')), param('norm'));
  const mixed = linear(gelu(linear(y, 4 * width, param('pwconv1'))), width, param('pwconv2'));
  return gamma === undefined ? mixed : layerScale(mixed, gamma);
}
