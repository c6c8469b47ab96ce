/** From operations to native kernels: which operands a kernel takes and gives, in its own order, and how each may be stored (program-spec.ts). */
import type { KernelName } from './program-spec.js';

/**
 * How an operand may be stored. fp32: so only. own: bf16 too, whatever the others are. alike: bf16 too, but all such operands of one call
 * have one type.
 */
export type Storage = 'fp32' | 'own' | 'alike';

export interface Slot {
  /** An operation's input, `y`, what it saves, `slope` (of the GELU that the kernel does), or a parameter whose gradient grows. */
  name: string;
  optional: boolean;
  /** Whether it is a parameter's gradient. */
  gradient: boolean;
  storage: Storage;
}

export interface KernelEntry {
  kernel: KernelName;
  inputs: readonly Slot[];
  outputs: readonly Slot[];
}

/** [+]name[~|=][?]: + a gradient, ~ stored as its own, = stored alike, ? may be absent. */
function slot(text: string): Slot {
  const [, plus, name = '', storage, optional] = /^(\+?)(\w+)([~=]?)(\??)$/.exec(text) ?? [];
  if (name === '') throw new Error(`${text} is no operand`);
  return {
    name,
    gradient: plus === '+',
    optional: optional === '?',
    storage: storage === '~' ? 'own' : storage === '=' ? 'alike' : 'fp32',
  };
}

const entry = (kernel: KernelName, inputs: string, outputs: string): KernelEntry => ({
  kernel,
  inputs: inputs.split(' ').map(slot),
  outputs: outputs.split(' ').map(slot),
});

// Stricter than the kernels in two places: a sum (add) is the residual stream, and dropout on it is it too.
const entries: readonly KernelEntry[] = [
  entry('patches', 'images', 'y~'),
  entry('linear', 'x= weight bias?', 'y~ slope=?'),
  entry('linear_input_grad', 'dy= weight slope=?', 'y~'),
  entry('linear_weight_grad', 'x= dy=', '+weight +bias?'),
  entry('gelu', 'x~', 'y~'),
  entry('gelu_grad', 'x~ dy~', 'y~'),
  entry('layer_norm', 'x~ weight bias', 'y~ mean rstd'),
  entry('layer_norm_grad', 'x~ weight mean rstd dy~', 'y~ +weight +bias'),
  entry('attention', 'qkv=', 'y= lse'),
  entry('attention_grad', 'qkv= out= lse dy=', 'y='),
  entry('prepend_token', 'x~ token', 'y'),
  entry('prepend_token_grad', 'dy', 'y~ +token'),
  entry('add_positions', 'x~ positions', 'y'),
  entry('add_positions_grad', 'dy', '+positions'),
  entry('dropout', 'x=', 'y='),
  entry('keep', 'x', 'y~'),
  entry('add_kept', 'x y~', 'y'),
  entry('take_token', 'x~', 'y~'),
  entry('take_token_grad', 'dy~', 'y~'),
  entry('mean_tokens', 'x~', 'y~'),
  entry('mean_tokens_grad', 'dy~', 'y~'),
  entry('transpose_tokens', 'x=', 'y='),
  entry('layer_scale', 'x~ gamma', 'y~'),
  entry('layer_scale_grad', 'x~ gamma dy~', 'y~ +gamma'),
  entry('depthwise_conv', 'x~ weight bias', 'y~'),
  entry('depthwise_conv_input_grad', 'dy~ weight', 'y~'),
  entry('depthwise_conv_weight_grad', 'x~ dy~', '+weight +bias'),
  entry('merge_patches', 'x=', 'y='),
  entry('merge_patches_grad', 'dy=', 'y='),
  entry('window_attention', 'qkv= table', 'y= lse'),
  entry('window_attention_grad', 'qkv= table out= lse dy=', 'y= +table'),
  entry('multiply', 'a~ b~', 'y~'),
  entry('add', 'a~ b~', 'y'),
  entry('softmax_cross_entropy', 'logits targets', 'y dlogits~'),
];

const table: ReadonlyMap<string, KernelEntry> = new Map(entries.map((one) => [one.kernel, one]));

/** Throws for an operation without a native kernel. */
export function kernelOf(operation: string): KernelEntry {
  const found = table.get(operation);
  if (found === undefined) throw new Error(`operation ${operation} has no native kernel`);
  return found;
}
