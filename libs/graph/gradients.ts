/** The backward pass: applies every operation's gradient rule in reverse order, and sums the contributions to each value's gradient. */

import type { Pieces } from '#bounds/pieces.js';
import type { Call, Contribution } from '#nn/operation.js';
import { add } from '#nn/ops/add.js';
import type { Tensor } from '#nn/tensor.js';
import type { Node } from './graph.js';

export interface RecordedCall {
  readonly node: Node;
  readonly call: Call;
  readonly result: Tensor | undefined;
  readonly saved: Readonly<Record<string, Tensor>>;
}

/** Records, on the tensors' own recorder, the gradient of the sum of `loss` with respect to every parameter it depends on. */
export function* appendGradients(forward: readonly RecordedCall[], loss: Tensor): Pieces<void> {
  const needed = valuesNeedingGradients(forward);
  const sums = new Map<number, Tensor>([[loss.id, loss]]); // stands for the loss's gradient, which is 1; its gradient rule does not read it
  for (const { call, result, saved } of forward.toReversed()) {
    yield;
    const dy = result === undefined ? undefined : sums.get(result.id);
    if (dy === undefined || result === undefined || !needed.has(result.id)) continue;
    const { operation, inputs, attributes, site, path } = call;
    const shares = operation.gradient?.(dy, { inputs, y: result, saved, attributes, site, path }) ?? {};
    for (const [name, share] of Object.entries(shares)) {
      const operand = inputs[name];
      if (share === undefined || operand?.kind !== 'tensor' || !needed.has(operand.id)) continue;
      sums.set(operand.id, combine(operation.name, sums.get(operand.id), share));
    }
  }
}

function combine(name: string, sum: Tensor | undefined, share: Contribution): Tensor {
  if (typeof share !== 'function') {
    if (sum === undefined) throw new Error(`${name}: its gradient must be added to an existing sum, but there is none`);
    return share.into(sum);
  }
  const value = share();
  return sum === undefined ? value : add(sum, value);
}

/** Values that depend on a parameter. Other values, such as patches of the images, need no gradient. */
function valuesNeedingGradients(forward: readonly RecordedCall[]): Set<number> {
  const needed = new Set<number>();
  for (const { call, result } of forward) {
    const depends = Object.values(call.inputs).some((operand) => operand.kind === 'parameter' || needed.has(operand.id));
    if (depends && result !== undefined) needed.add(result.id);
  }
  return needed;
}
