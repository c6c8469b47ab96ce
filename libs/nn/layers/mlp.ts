import type { DropScope, ParamScope } from '../model.js';
import { dropout } from '../ops/dropout.js';
import { gelu } from '../ops/gelu.js';
import { type LinearOptions, linear } from '../ops/linear.js';
import { rowsOf, type Tensor } from '../tensor.js';

export interface MlpOptions extends Pick<LinearOptions, 'weight' | 'bias'> {
  /** Prefix of the sites' names. Default `mlp`. */
  site?: string;
}

/** x [N, D] → fc1 → GELU → fc2 → [N, D]. Sites `mlp_drop1` after GELU and `mlp_drop2` after fc2. */
export function mlp(x: Tensor, hidden: number, param: ParamScope, drop: DropScope, options: MlpOptions = {}): Tensor {
  const { site = 'mlp', ...init } = options;
  const h = dropout(gelu(linear(x, hidden, param('fc1'), init)), drop(`${site}_drop1`));
  return dropout(linear(h, rowsOf(x.shape).width, param('fc2'), init), drop(`${site}_drop2`));
}
