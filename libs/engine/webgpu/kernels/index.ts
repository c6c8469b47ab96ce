/** The kernels of the WebGPU executor by the names of libs/native/kernels.def. */
import type { KernelName } from '#native/kernel-operands.js';
import { attention, attentionGrad, windowAttention, windowAttentionGrad } from './attention.js';
import { depthwiseConv, depthwiseConvInputGrad, depthwiseConvWeightGrad } from './depthwise.js';
import { add, cast, dropout, gelu, geluGrad, multiply } from './elementwise.js';
import { gatherKept, scatterAddKept } from './kept.js';
import type { KernelGenerator } from './kernel.js';
import { layerNorm, layerNormGrad } from './layer-norm.js';
import { layerScale, layerScaleGrad } from './layer-scale.js';
import {
  meanTokens,
  meanTokensGrad,
  mergePatches,
  mergePatchesGrad,
  patches,
  takeToken,
  takeTokenGrad,
  transposeTokens,
} from './layout.js';
import { softmaxCrossEntropy } from './loss.js';
import { linear, linearInputGrad, linearWeightGrad } from './products.js';
import { addPositions, addPositionsGrad, prependToken, prependTokenGrad } from './tokens.js';

const kernels: Readonly<Partial<Record<KernelName, KernelGenerator>>> = {
  patches,
  linear,
  linear_input_grad: linearInputGrad,
  linear_weight_grad: linearWeightGrad,
  gelu,
  gelu_grad: geluGrad,
  layer_norm: layerNorm,
  layer_norm_grad: layerNormGrad,
  attention,
  attention_grad: attentionGrad,
  prepend_token: prependToken,
  prepend_token_grad: prependTokenGrad,
  add_positions: addPositions,
  add_positions_grad: addPositionsGrad,
  dropout,
  gather_kept: gatherKept,
  scatter_add_kept: scatterAddKept,
  cast,
  take_token: takeToken,
  take_token_grad: takeTokenGrad,
  mean_tokens: meanTokens,
  mean_tokens_grad: meanTokensGrad,
  transpose_tokens: transposeTokens,
  layer_scale: layerScale,
  layer_scale_grad: layerScaleGrad,
  depthwise_conv: depthwiseConv,
  depthwise_conv_input_grad: depthwiseConvInputGrad,
  depthwise_conv_weight_grad: depthwiseConvWeightGrad,
  merge_patches: mergePatches,
  merge_patches_grad: mergePatchesGrad,
  window_attention: windowAttention,
  window_attention_grad: windowAttentionGrad,
  multiply,
  add,
  softmax_cross_entropy: softmaxCrossEntropy,
};

/** Throws for an operation without a WebGPU kernel. */
export function kernelFor(operation: KernelName): KernelGenerator {
  const kernel = kernels[operation];
  if (kernel === undefined) throw new Error(`operation ${operation} has no WebGPU kernel: add it to libs/engine/webgpu/kernels/`);
  return kernel;
}
