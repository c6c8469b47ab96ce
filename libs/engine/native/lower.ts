/** From a graph to the program that the addon runs: kernels in order, every value at its place in the arena. */
import type { Graph, Node, Source } from '#graph/graph.js';
import { type MemoryStep, planMemory } from '#graph/plan.js';
import type { Instruction, Operand, ProgramSpec } from '#native/program.js';
import { elements } from '#nn/tensor.js';
import { fuse, type Step } from './fuse.js';
import { kernelOf } from './kernel-table.js';

export function lower(graph: Graph, chunkSamples: number): ProgramSpec {
  const forward = fuse(graph.forward);
  const backward = fuse(graph.backward);
  const lowered = [...forward, ...backward].map((step) => lowerStep(graph, step));
  const memory = lowered.map(({ memory }) => memory);
  const elementsPerSample = graph.values.map(({ shape }) => elements(shape));
  const floats = elementsPerSample.map((count) => count * chunkSamples);
  const endOfForward = forward.length; // both are copied out before the backward pass
  const plan = planMemory(floats, memory, new Map([graph.logits, graph.loss].map((value) => [value, endOfForward])));
  const instructions = lowered.map(({ instruction }) => instruction);
  return {
    chunkSamples,
    arenaFloats: plan.arenaFloats,
    values: elementsPerSample.map((count, value) => ({ offset: plan.offsets[value] ?? 0, elementsPerSample: count })),
    parameters: graph.parameters.map(({ shape }) => ({ size: elements(shape) })),
    paths: graph.paths.length,
    sites: graph.sites.map(({ shape }) => ({ elementsPerSample: elements(shape) })),
    imageFloats: elements(graph.images),
    classes: graph.classes,
    forward: instructions.slice(0, forward.length),
    backward: instructions.slice(forward.length),
    logits: graph.logits,
    loss: graph.loss,
  };
}

function lowerStep(graph: Graph, { node, gelu }: Step): { instruction: Instruction; memory: MemoryStep } {
  const { kernel, inputs, outputs } = kernelOf(node.operation.name);
  const instruction: Instruction = {
    kernel,
    domain: node.domain,
    inputs: inputs.flatMap((name) => inputOperand(node, name)),
    outputs: outputs.flatMap((name) => outputOperand(node, name)),
    attributes: { ...node.attributes },
    ...(node.site && { site: node.site.index }),
  };
  if (kernel === 'linear') instruction.attributes.bias = node.inputs.bias === undefined ? 0 : 1;
  if (kernel === 'linear' || kernel === 'linear_input_grad') instruction.attributes.gelu = gelu ? 1 : 0;
  if (gelu && kernel === 'linear') {
    instruction.outputs = [...outputOperand(gelu, 'y'), ...instruction.outputs]; // y, then what went into the GELU
  } else if (gelu) {
    instruction.inputs.push(...inputOperand(gelu, 'x'));
    instruction.outputs = outputOperand(gelu, 'y');
  }
  return {
    instruction,
    memory: {
      reads: valuesIn(instruction.inputs),
      writes: valuesIn(instruction.outputs),
      inPlace: gelu ? undefined : inPlace(graph, node),
    },
  };
}

function inPlace(graph: Graph, { operation, inputs, result }: Node): MemoryStep['inPlace'] {
  const source = operation.inPlace === undefined ? undefined : inputs[operation.inPlace];
  if (result === undefined || source === undefined || !('value' in source)) return undefined;
  const from = graph.values[source.value];
  return from?.domain === graph.values[result]?.domain ? { from: source.value, to: result } : undefined;
}

function inputOperand(node: Node, name: string): Operand[] {
  const source: Source | undefined = node.inputs[name.replace('?', '')];
  if (source === undefined && !name.endsWith('?')) throw new Error(`${node.operation.name}: input ${name} is missing`);
  return source === undefined ? [] : [source];
}

function outputOperand(node: Node, name: string): Operand[] {
  const bare = name.replace(/[+?]/g, '');
  if (!name.startsWith('+')) {
    const value = bare === 'y' ? node.result : node.saved[bare];
    if (value === undefined) throw new Error(`${node.operation.name}: output ${name} is missing`);
    return [{ value }];
  }
  const grad = node.gradients[bare];
  if (grad === undefined && !name.endsWith('?')) throw new Error(`${node.operation.name}: gradient ${name} is missing`);
  return grad === undefined ? [] : [{ grad }];
}

function valuesIn(operands: readonly Operand[]): number[] {
  return operands.flatMap((operand) => ('value' in operand ? [operand.value] : []));
}
