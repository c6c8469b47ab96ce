/** Runs one chunk of samples through the graph: computes every node with TensorFlow.js, and frees each value after its last use. */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Graph, Node, Source } from '#graph/graph.js';
import type { Surroundings, TensorFlow } from '#nn/operation.js';
import { elements } from '#nn/tensor.js';
import type { StepRandomness } from '../executable.js';
import { dropsAt, keepsPath, siteMask } from '../masks.js';

export interface ChunkInputs {
  images: tfjs.Tensor;
  targets: tfjs.Tensor;
  samples: number;
  /** Position of the first sample within the step. */
  firstSample: number;
  parameters: readonly tfjs.Tensor[];
  lossScale: number;
  /** Absent in evaluation, where everything is kept. */
  random?: StepRandomness | undefined;
}

export interface ChunkOutputs {
  logits: tfjs.Tensor;
  losses: tfjs.Tensor;
  /** One for each parameter; absent if nothing was added. Empty without a backward pass. */
  gradients: (tfjs.Tensor | undefined)[];
}

/** Runs inside the caller's tidy: returns logits, losses and gradients, and frees the rest as early as it can. */
export function runChunk(tf: TensorFlow, graph: Graph, inputs: ChunkInputs, backward: boolean): ChunkOutputs {
  const nodes = backward ? [...graph.forward, ...graph.backward] : graph.forward;
  const lastUse = lastUses(nodes);
  for (const value of [graph.logits, graph.loss]) lastUse.set(value, nodes.length);
  const kept = graph.paths.map(({ index }) => keptSamples(index, inputs));
  const values = new Map<number, tfjs.Tensor>();
  const gradients: (tfjs.Tensor | undefined)[] = backward ? graph.parameters.map(() => undefined) : [];

  nodes.forEach((node, at) => {
    const samples = node.domain === 0 ? inputs.samples : (kept[node.domain - 1]?.length ?? 0);
    if (samples > 0) runNode(node, samples);
    for (const value of valuesOf(node)) {
      if (lastUse.get(value) === at) {
        values.get(value)?.dispose();
        values.delete(value);
      }
    }
  });
  return { logits: required(graph.logits), losses: required(graph.loss), gradients };

  function required(value: number): tfjs.Tensor {
    const tensor = values.get(value);
    if (tensor === undefined) throw new Error(`value ${value} of ${graph.name} was not computed`);
    return tensor;
  }

  function operand(source: Source): tfjs.Tensor | undefined {
    if ('input' in source) return inputs[source.input];
    return 'param' in source ? inputs.parameters[source.param] : values.get(source.value);
  }

  function runNode(node: Node, samples: number): void {
    const operands: Record<string, tfjs.Tensor> = {};
    let complete = true;
    for (const [name, source] of Object.entries(node.inputs)) {
      const tensor = operand(source);
      if (tensor === undefined) complete = false;
      else operands[name] = tensor;
    }
    const outputs = tf.tidy(() => {
      // An input is only missing if a branch kept no sample; then the tensor that it would be added to stays as it is.
      if (!complete) return { y: tf.clone(operands.x as tfjs.Tensor) };
      return node.operation.tfjs(tf, operands, node.attributes, surroundings(node, samples));
    }) as Record<string, tfjs.Tensor>;
    for (const [name, tensor] of Object.entries(outputs)) {
      const parameter = node.gradients[name];
      const value = name === 'y' ? node.result : node.saved[name];
      if (parameter !== undefined) gradients[parameter] = addInPlace(tf, gradients[parameter], tensor);
      else if (value !== undefined) values.set(value, tensor);
      else tensor.dispose();
    }
  }

  function surroundings({ site, path, domain }: Node, samples: number): Surroundings {
    const result: Surroundings = { lossScale: inputs.lossScale };
    const { random } = inputs;
    if (site !== undefined && random && dropsAt(random, site.index)) {
      const size = elements(site.shape);
      const mask = new Float32Array(samples * size);
      for (let i = 0; i < samples; i++) {
        const position = domain === 0 ? i : (kept[domain - 1]?.[i] ?? 0);
        siteMask(mask.subarray(i * size, (i + 1) * size), random, site.index, inputs.firstSample + position);
      }
      result.mask = tf.tensor(mask, [samples, ...site.shape]);
    }
    if (path !== undefined) {
      const rate = random?.pathRates[path.index] ?? 0;
      result.kept = { indices: tf.tensor1d(kept[path.index] ?? [], 'int32'), scale: 1 / (1 - rate) };
    }
    return result;
  }
}

/** Positions in the chunk of the samples that a path keeps. */
function keptSamples(path: number, { samples, firstSample, random }: ChunkInputs): number[] {
  const all = Array.from({ length: samples }, (_, i) => i);
  return random ? all.filter((i) => keepsPath(random, path, firstSample + i)) : all;
}

function addInPlace(tf: TensorFlow, sum: tfjs.Tensor | undefined, share: tfjs.Tensor): tfjs.Tensor {
  if (sum === undefined) return share;
  const total = tf.add(sum, share);
  sum.dispose();
  share.dispose();
  return total;
}

function valuesOf(node: Node): number[] {
  const read = Object.values(node.inputs).flatMap((source) => ('value' in source ? [source.value] : []));
  return [...read, ...(node.result === undefined ? [] : [node.result]), ...Object.values(node.saved)];
}

function lastUses(nodes: readonly Node[]): Map<number, number> {
  const last = new Map<number, number>();
  nodes.forEach((node, at) => {
    for (const value of valuesOf(node)) last.set(value, at);
  });
  return last;
}
