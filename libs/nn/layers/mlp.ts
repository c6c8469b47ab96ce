import type { DropScope, ParamScope } from '../model.js';
import { dropout } from '../ops/dropout.js';
import { gelu } from '../ops/gelu.js';
import { linear } from '../ops/linear.js';
import { rowsOf, type Tensor } from '../tensor.js';

/** x [N, D] → fc1 → GELU → fc2 → [N, D]. Sites `mlp_drop1` after GELU and `mlp_drop2` after fc2. */
export function mlp(x: Tensor, hidden: number, param: ParamScope, drop: DropScope): Tensor {
  const h = dropout(gelu(linear(x, hidden, param('fc1'))), drop('mlp_drop1'));
  return dropout(linear(h, rowsOf(x.shape).width, param('fc2')), drop('mlp_drop2'));
}
