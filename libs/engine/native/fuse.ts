/**
 * Pairs of nodes that one kernel does in one pass over its output: a linear layer with the GELU behind it, and the gradient at a
 * linear layer's input with the GELU's gradient behind it. The values stay the same; only the calls become fewer.
 */
import type { Node } from '#graph/graph.js';

/** A node, with the GELU (or its gradient) that directly follows it and alone reads its result. */
export interface Step {
  node: Node;
  gelu?: Node;
}

const followers: Readonly<Record<string, { operation: string; input: string }>> = {
  linear: { operation: 'gelu', input: 'x' },
  linear_input_grad: { operation: 'gelu_grad', input: 'dy' },
};

export function fuse(nodes: readonly Node[]): Step[] {
  const steps: Step[] = [];
  for (const node of nodes) {
    const previous = steps.at(-1);
    const follower = previous && !previous.gelu ? followers[previous.node.operation.name] : undefined;
    const source = follower && node.inputs[follower.input];
    if (previous && follower?.operation === node.operation.name && source && 'value' in source && source.value === previous.node.result) {
      previous.gelu = node;
    } else {
      steps.push({ node });
    }
  }
  return steps;
}
