import { normal } from '../initialisation.js';
import type { DropScope, ParamScope } from '../model.js';
import { dropout } from '../ops/dropout.js';
import { linear } from '../ops/linear.js';
import { type Windows, windowAttention } from '../ops/window-attention.js';
import { rowsOf, type Tensor } from '../tensor.js';

/** Self-attention inside windows of a token map: x [H·W, D] → [H·W, D]. Sites `attn_drop` per window on the probabilities, `proj_drop` on the result. */
export function windowSelfAttention(x: Tensor, windows: Windows, heads: number, param: ParamScope, drop: DropScope): Tensor {
  const { width } = rowsOf(x.shape);
  const table = param('relative_position_bias_table').declare([(2 * windows.window - 1) ** 2, heads], normal(0.02));
  const qkv = linear(x, 3 * width, param('qkv'));
  const mixed = windowAttention(qkv, table, windows, heads, drop('attn_drop'));
  return dropout(linear(mixed, width, param('proj')), drop('proj_drop'));
}
