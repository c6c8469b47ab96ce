import type { DropScope, ParamScope } from '../model.js';
import { attention } from '../ops/attention.js';
import { dropout } from '../ops/dropout.js';
import { linear } from '../ops/linear.js';
import { rowsOf, type Tensor } from '../tensor.js';

/** Multi-head self-attention: x [N, D] → [N, D]. Sites `attn_drop` on the probabilities and `proj_drop` on the result. */
export function selfAttention(x: Tensor, heads: number, param: ParamScope, drop: DropScope): Tensor {
  const { width } = rowsOf(x.shape);
  const qkv = linear(x, 3 * width, param('qkv'));
  const mixed = attention(qkv, heads, drop('attn_drop'));
  return dropout(linear(mixed, width, param('proj')), drop('proj_drop'));
}
