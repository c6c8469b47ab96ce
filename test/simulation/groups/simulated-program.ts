/**
 * A program whose numbers show what has been done to it. The gradient of leaf l in step s is 2^l and (s + 1) 2^l, so that a sum in which a leaf is missing, is
 * there twice, or belongs to another step differs from the right one; the weights depend on all steps in their order.
 */
import type { NamedTensor, Program, Subtree } from '#engine/index.js';
import { Violation } from '../execution.js';

const FLOATS = 2;
/** Weights stay exact in float32. */
const MODULUS = 65_521;

export interface SimulatedProgram {
  readonly program: Program;
  /** Optimizer steps done. */
  readonly step: () => number;
}

/** @param fail called with what must not happen; whoever executes the order may hide an error */
export function simulatedProgram(leaves: number, letter: string, fail: (violation: Violation) => void): SimulatedProgram {
  const held = new Map<number, Float32Array>();
  let [weights, step] = [new Float32Array([1, 0]), 0];
  const whole = 2 ** leaves - 1;
  const tensors = (data: Float32Array): NamedTensor[] => [{ name: 'w', shape: [FLOATS], data }];
  const failed = (what: string): Violation => {
    const violation = new Violation(what);
    fail(violation);
    return violation;
  };
  const sumOf = ({ first, leaves: count }: Subtree): Float32Array => {
    const sum = new Float32Array(FLOATS);
    for (let leaf = first; leaf < first + count; leaf++) {
      const gradient = held.get(leaf);
      if (gradient === undefined) throw failed(`${letter} is said to hold leaf ${leaf} of step ${step}, which it does not`);
      for (const [k, value] of gradient.entries()) sum[k]! += value;
    }
    return sum;
  };
  let written: Float32Array | undefined;
  const program = {
    parameters: [{ name: 'w', shape: [FLOATS], decay: true }],
    sites: [],
    blocks: 0,
    classes: 2,
    parameterFloats: FLOATS,
    fingerprint: { executor: 'native', precision: 'fp32', kernelPath: 'simulated', build: 'simulated' },
    stateBytes: () => 3 * FLOATS * Float32Array.BYTES_PER_ELEMENT,
    accumulate: async ({ leaf }: { readonly leaf: number }) => {
      held.set(leaf, new Float32Array([2 ** leaf, (step + 1) * 2 ** leaf]));
      return { losses: new Float32Array([weights[0]! + leaf]), logits: new Float32Array(2), seconds: { forward: 0, backward: 0 } };
    },
    readSubtree: async (subtree: Subtree, into: Float32Array) => into.set(sumOf(subtree)),
    writeSubtree: async (_: Subtree, __: number, values: Float32Array) => {
      written = values.slice();
    },
    update: async () => {
      const gradient = written ?? sumOf({ first: 0, leaves });
      if (gradient[0] !== whole || gradient[1] !== (step + 1) * whole)
        throw failed(`${letter} makes step ${step} with the gradient ${[...gradient]}, must be ${whole},${(step + 1) * whole}`);
      weights = new Float32Array([(weights[0]! * 31 + gradient[1]!) % MODULUS, step + 1]);
      step++;
      held.clear();
      written = undefined;
      return { gradNorm: gradient[1]!, seconds: { optimizer: 0 } };
    },
    cancel: () => {
      held.clear();
      written = undefined;
    },
    readAll: async () => tensors(weights),
    exportState: async ({ into }: { readonly into: ArrayBufferLike }) => {
      new Float32Array(into).fill(0).set(weights);
      return { weights: tensors(weights), first_moment: [], second_moment: [] };
    },
    importState: async ({ weights: [given] }: { readonly weights: readonly NamedTensor[] }) => {
      weights = Float32Array.from(given!.data);
      step = weights[1]!;
    },
  };
  return { program: program as unknown as Program, step: () => step };
}
