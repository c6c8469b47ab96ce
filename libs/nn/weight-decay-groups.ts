import type { Shape } from './tensor.js';

const undecayedNames = /(^|\.)(bias|pos_embed|cls_token|absolute_pos_embed|relative_position_bias_table)$/;

/**
 * Whether weight decay applies to a parameter. It does not apply to tensors of one axis, biases, position embeddings, class tokens and bias tables.
 */
export function decays(name: string, shape: Shape): boolean {
  return shape.length > 1 && !undecayedNames.test(name);
}
