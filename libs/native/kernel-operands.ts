/** Generated from kernels.def by scripts/generate-kernels.mjs (npm run generate); never edited. */

export type KernelName =
  | 'patches'
  | 'linear'
  | 'linear_input_grad'
  | 'linear_weight_grad'
  | 'gelu'
  | 'gelu_grad'
  | 'layer_norm'
  | 'layer_norm_grad'
  | 'attention'
  | 'attention_grad'
  | 'prepend_token'
  | 'prepend_token_grad'
  | 'add_positions'
  | 'add_positions_grad'
  | 'dropout'
  | 'gather_kept'
  | 'scatter_add_kept'
  | 'cast'
  | 'take_token'
  | 'take_token_grad'
  | 'mean_tokens'
  | 'mean_tokens_grad'
  | 'transpose_tokens'
  | 'layer_scale'
  | 'layer_scale_grad'
  | 'depthwise_conv'
  | 'depthwise_conv_input_grad'
  | 'depthwise_conv_weight_grad'
  | 'merge_patches'
  | 'merge_patches_grad'
  | 'window_attention'
  | 'window_attention_grad'
  | 'multiply'
  | 'add'
  | 'softmax_cross_entropy';

/**
 * How an operand may be stored. fp32: only so. own: also as bf16, whatever the others are. alike: also as bf16, but all such operands of one
 * call have one type.
 */
export type Storage = 'fp32' | 'own' | 'alike';

export interface Slot {
  /** An operation's input, `y`, what it saves, `slope` (of the GELU that the kernel does), or a parameter whose gradient grows. */
  name: string;
  storage: Storage;
  /** Whether it is a parameter's gradient. */
  gradient: boolean;
  optional: boolean;
}

/** Of every kernel, in its own order. */
export const kernelOperands: Readonly<Record<KernelName, { readonly inputs: readonly Slot[]; readonly outputs: readonly Slot[] }>> = {
  patches: {
    inputs: [{ name: 'images', storage: 'fp32', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  linear: {
    inputs: [
      { name: 'x', storage: 'alike', gradient: false, optional: false },
      { name: 'weight', storage: 'fp32', gradient: false, optional: false },
      { name: 'bias', storage: 'fp32', gradient: false, optional: true },
    ],
    outputs: [
      { name: 'y', storage: 'own', gradient: false, optional: false },
      { name: 'slope', storage: 'alike', gradient: false, optional: true },
    ],
  },
  linear_input_grad: {
    inputs: [
      { name: 'dy', storage: 'alike', gradient: false, optional: false },
      { name: 'weight', storage: 'fp32', gradient: false, optional: false },
      { name: 'slope', storage: 'alike', gradient: false, optional: true },
    ],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  linear_weight_grad: {
    inputs: [
      { name: 'x', storage: 'alike', gradient: false, optional: false },
      { name: 'dy', storage: 'alike', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'weight', storage: 'fp32', gradient: true, optional: false },
      { name: 'bias', storage: 'fp32', gradient: true, optional: true },
    ],
  },
  gelu: {
    inputs: [{ name: 'x', storage: 'own', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  gelu_grad: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'dy', storage: 'own', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  layer_norm: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'weight', storage: 'fp32', gradient: false, optional: false },
      { name: 'bias', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'y', storage: 'own', gradient: false, optional: false },
      { name: 'mean', storage: 'fp32', gradient: false, optional: false },
      { name: 'rstd', storage: 'fp32', gradient: false, optional: false },
    ],
  },
  layer_norm_grad: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'weight', storage: 'fp32', gradient: false, optional: false },
      { name: 'mean', storage: 'fp32', gradient: false, optional: false },
      { name: 'rstd', storage: 'fp32', gradient: false, optional: false },
      { name: 'dy', storage: 'own', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'y', storage: 'own', gradient: false, optional: false },
      { name: 'weight', storage: 'fp32', gradient: true, optional: false },
      { name: 'bias', storage: 'fp32', gradient: true, optional: false },
    ],
  },
  attention: {
    inputs: [{ name: 'qkv', storage: 'alike', gradient: false, optional: false }],
    outputs: [
      { name: 'y', storage: 'alike', gradient: false, optional: false },
      { name: 'lse', storage: 'fp32', gradient: false, optional: false },
    ],
  },
  attention_grad: {
    inputs: [
      { name: 'qkv', storage: 'alike', gradient: false, optional: false },
      { name: 'out', storage: 'alike', gradient: false, optional: false },
      { name: 'lse', storage: 'fp32', gradient: false, optional: false },
      { name: 'dy', storage: 'alike', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'alike', gradient: false, optional: false }],
  },
  prepend_token: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'token', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'fp32', gradient: false, optional: false }],
  },
  prepend_token_grad: {
    inputs: [{ name: 'dy', storage: 'fp32', gradient: false, optional: false }],
    outputs: [
      { name: 'y', storage: 'own', gradient: false, optional: false },
      { name: 'token', storage: 'fp32', gradient: true, optional: false },
    ],
  },
  add_positions: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'positions', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'fp32', gradient: false, optional: false }],
  },
  add_positions_grad: {
    inputs: [{ name: 'dy', storage: 'fp32', gradient: false, optional: false }],
    outputs: [{ name: 'positions', storage: 'fp32', gradient: true, optional: false }],
  },
  dropout: {
    inputs: [{ name: 'x', storage: 'alike', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'alike', gradient: false, optional: false }],
  },
  gather_kept: {
    inputs: [{ name: 'x', storage: 'fp32', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  scatter_add_kept: {
    inputs: [
      { name: 'x', storage: 'fp32', gradient: false, optional: false },
      { name: 'y', storage: 'own', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'fp32', gradient: false, optional: false }],
  },
  cast: {
    inputs: [{ name: 'x', storage: 'own', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  take_token: {
    inputs: [{ name: 'x', storage: 'own', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  take_token_grad: {
    inputs: [{ name: 'dy', storage: 'own', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  mean_tokens: {
    inputs: [{ name: 'x', storage: 'own', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  mean_tokens_grad: {
    inputs: [{ name: 'dy', storage: 'own', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  transpose_tokens: {
    inputs: [{ name: 'x', storage: 'alike', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'alike', gradient: false, optional: false }],
  },
  layer_scale: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'gamma', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  layer_scale_grad: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'gamma', storage: 'fp32', gradient: false, optional: false },
      { name: 'dy', storage: 'own', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'y', storage: 'own', gradient: false, optional: false },
      { name: 'gamma', storage: 'fp32', gradient: true, optional: false },
    ],
  },
  depthwise_conv: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'weight', storage: 'fp32', gradient: false, optional: false },
      { name: 'bias', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  depthwise_conv_input_grad: {
    inputs: [
      { name: 'dy', storage: 'own', gradient: false, optional: false },
      { name: 'weight', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  depthwise_conv_weight_grad: {
    inputs: [
      { name: 'x', storage: 'own', gradient: false, optional: false },
      { name: 'dy', storage: 'own', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'weight', storage: 'fp32', gradient: true, optional: false },
      { name: 'bias', storage: 'fp32', gradient: true, optional: false },
    ],
  },
  merge_patches: {
    inputs: [{ name: 'x', storage: 'alike', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'alike', gradient: false, optional: false }],
  },
  merge_patches_grad: {
    inputs: [{ name: 'dy', storage: 'alike', gradient: false, optional: false }],
    outputs: [{ name: 'y', storage: 'alike', gradient: false, optional: false }],
  },
  window_attention: {
    inputs: [
      { name: 'qkv', storage: 'alike', gradient: false, optional: false },
      { name: 'table', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'y', storage: 'alike', gradient: false, optional: false },
      { name: 'lse', storage: 'fp32', gradient: false, optional: false },
    ],
  },
  window_attention_grad: {
    inputs: [
      { name: 'qkv', storage: 'alike', gradient: false, optional: false },
      { name: 'table', storage: 'fp32', gradient: false, optional: false },
      { name: 'out', storage: 'alike', gradient: false, optional: false },
      { name: 'lse', storage: 'fp32', gradient: false, optional: false },
      { name: 'dy', storage: 'alike', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'y', storage: 'alike', gradient: false, optional: false },
      { name: 'table', storage: 'fp32', gradient: true, optional: false },
    ],
  },
  multiply: {
    inputs: [
      { name: 'a', storage: 'own', gradient: false, optional: false },
      { name: 'b', storage: 'own', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'own', gradient: false, optional: false }],
  },
  add: {
    inputs: [
      { name: 'a', storage: 'own', gradient: false, optional: false },
      { name: 'b', storage: 'own', gradient: false, optional: false },
    ],
    outputs: [{ name: 'y', storage: 'fp32', gradient: false, optional: false }],
  },
  softmax_cross_entropy: {
    inputs: [
      { name: 'logits', storage: 'fp32', gradient: false, optional: false },
      { name: 'targets', storage: 'fp32', gradient: false, optional: false },
    ],
    outputs: [
      { name: 'y', storage: 'fp32', gradient: false, optional: false },
      { name: 'dlogits', storage: 'own', gradient: false, optional: true },
    ],
  },
};
