import type { Shape } from './tensor.js';

const undecayedNames = /(^|\.)(bias|pos_embed|cls_token|absolute_pos_embed|relative_position_bias_table)$/;

/** Whether weight decay acts on a parameter: not on tensors of one axis, biases, position embeddings, class tokens and bias tables. */
export function decays(name: string, shape: Shape): boolean {
  return shape.length > 1 && !undecayedNames.test(name);
}
