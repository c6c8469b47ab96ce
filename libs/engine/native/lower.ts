/** Lowers a graph to the program that the addon runs: kernels in order, and every value with its type and its place in the arena. */

import { atOnce, mapInPieces, type Pieces } from '#bounds/pieces.js';
import type { Graph } from '#graph/graph.js';
import { type MemoryStep, planMemoryInPieces } from '#graph/plan.js';
import { elements } from '#nn/tensor.js';
import { callOf, type KernelCall, type LoweredValue, type Passes, valueIn, valueSlots, valuesOf } from '../passes/calls.js';
import { evaluationPass } from '../passes/evaluation.js';
import { fuse } from '../passes/fuse.js';
import { recomputeBlocks } from '../passes/recompute.js';
import type { Precision } from '../precision.js';
import { instructionOf } from './instruction.js';
import type { ProgramSpec } from './program-spec.js';
import { assignTypes } from './value-types.js';

export interface LowerOptions {
  /** Default fp32. */
  precision?: Precision;
  /** Stores only the input of each block, and computes the block again before its backward pass. Default false. */
  checkpointBlocks?: boolean;
  /** Only lowers the forward pass, as evaluation runs it: no memory for a backward pass. Default false. */
  evaluateOnly?: boolean;
  /** Values start at multiples of this number of floats, itself a multiple of 16. Default 16. */
  alignmentFloats?: number;
}

/** In floats of the arena. */
const floatsOf = { fp32: 1, bf16: 0.5, f16: 0.5 } as const;

/** The calls of a program, not yet placed in memory. */
interface LoweredCalls extends Passes {
  readonly values: readonly LoweredValue[];
  readonly logits: number;
  readonly loss: number;
}

export function lower(graph: Graph, chunkSamples: number, options: LowerOptions = {}): ProgramSpec {
  return atOnce(lowerInPieces(graph, chunkSamples, options));
}

/** Same as lower. */
export function* lowerInPieces(graph: Graph, chunkSamples: number, options: LowerOptions): Pieces<ProgramSpec> {
  return yield* placeValues(graph, chunkSamples, yield* lowerCalls(graph, options), options.alignmentFloats ?? 1);
}

function* lowerCalls(graph: Graph, options: LowerOptions): Pieces<LoweredCalls> {
  const { precision = 'fp32', checkpointBlocks = false, evaluateOnly = false } = options;
  const values = valuesOf(graph);
  let passes: Passes = { forward: yield* mapInPieces(graph.forward, callOf), backward: yield* mapInPieces(graph.backward, callOf) };
  passes = fuse(passes);
  yield;
  if (precision !== 'fp32') passes = assignTypes(passes, values, precision);
  let [logits, loss] = [graph.logits, graph.loss];
  if (evaluateOnly) {
    const { forward, names } = evaluationPass(passes.forward);
    passes = { forward, backward: [] };
    [logits, loss] = [names.get(logits) ?? logits, names.get(loss) ?? loss];
  } else if (checkpointBlocks) {
    passes = recomputeBlocks(passes, values, graph.paths);
  }
  yield;
  return { ...passes, values, logits, loss };
}

function* placeValues(graph: Graph, chunkSamples: number, calls: LoweredCalls, alignmentFloats: number): Pieces<ProgramSpec> {
  const { forward, backward, values, logits, loss } = calls;
  // Places are sums of sizes, so they are multiples of what all sizes are multiples of.
  const floats = values.map(
    ({ elementsPerSample, type }) => Math.ceil((elementsPerSample * chunkSamples * floatsOf[type]) / alignmentFloats) * alignmentFloats,
  );
  const steps = yield* mapInPieces([...forward, ...backward], (call) => memoryOf(call, values));
  const written = new Set(steps.flatMap(({ writes }) => writes));
  const endOfForward = forward.length; // both are copied out before the backward pass
  const plan = yield* planMemoryInPieces(floats, steps, new Map([logits, loss].map((value) => [value, endOfForward])));
  return {
    chunkSamples,
    arenaFloats: plan.arenaFloats,
    values: values.map(({ elementsPerSample, type }, value) => ({
      offset: plan.offsets[value] ?? 0,
      elementsPerSample: written.has(value) ? elementsPerSample : 1, // values that no call writes need no memory
      type,
    })),
    parameters: graph.parameters.map(({ shape }) => ({ size: elements(shape) })),
    paths: graph.paths.length,
    sites: graph.sites.map(({ shape }) => ({ elementsPerSample: elements(shape) })),
    imageFloats: elements(graph.images),
    classes: graph.classes,
    forward: yield* mapInPieces(forward, instructionOf),
    backward: yield* mapInPieces(backward, instructionOf),
    logits,
    loss,
  };
}

function memoryOf(call: KernelCall, values: readonly LoweredValue[]): MemoryStep {
  const slots = valueSlots(call);
  return {
    reads: slots.filter(({ written }) => !written).map(({ value }) => value),
    writes: slots.filter(({ written }) => written).map(({ value }) => value),
    inPlace: inPlace(call, values),
  };
}

function inPlace({ inPlace: name, inputs, outputs }: KernelCall, values: readonly LoweredValue[]): MemoryStep['inPlace'] {
  const [from, to] = [name === undefined ? undefined : valueIn(inputs[name]), valueIn(outputs.y)];
  if (from === undefined || to === undefined) return undefined;
  // Not in place if the call reads the same value a second time.
  if (Object.values(inputs).filter((operand) => valueIn(operand) === from).length > 1) return undefined;
  const [source, target] = [values[from], values[to]];
  return source?.domain === target?.domain && source?.type === target?.type ? { from, to } : undefined;
}
