/** Runs a model once on symbolic tensors and records its operations. */

import { atOnce, type Pieces } from '#bounds/pieces.js';
import type { DropScope, Model, ParamScope } from '#nn/model.js';
import type { Call, Operand } from '#nn/operation.js';
import { softmaxCrossEntropy } from '#nn/ops/softmax-cross-entropy.js';
import type { Parameter, Path, Recorder, Shape, Site, Tensor } from '#nn/tensor.js';
import { elements } from '#nn/tensor.js';
import { appendGradients, type RecordedCall } from './gradients.js';
import type { Graph, Node, Source, Value } from './graph.js';

export interface TraceShapes {
  channels: number;
  /** Side of the square images in pixels. */
  imageSize: number;
  classes: number;
}

/** The graph of a model with its loss and gradients. Throws if the shapes do not fit the model. */
export function trace(model: Model, shapes: TraceShapes): Graph {
  return atOnce(traceInPieces(model, shapes));
}

/** Same as trace. */
export function* traceInPieces(model: Model, { channels, imageSize, classes }: TraceShapes): Pieces<Graph> {
  const shape = [channels, imageSize, imageSize];
  const tracing = new Tracing(model.parameterOrder && orderedNames(model, { channels, imageSize }, model.parameterOrder));
  yield;
  const { images, logits } = tracing.run(model, shape);
  if (logits.shape.length !== 1 || logits.shape[0] !== classes || logits.domain !== 0) {
    throw new Error(`${model.name} returns [${logits.shape}] for each sample, not ${classes} logits`);
  }
  const loss = softmaxCrossEntropy(logits, tracing.input('targets', [classes]));
  const forward = tracing.take();
  yield;
  yield* appendGradients(forward, loss);
  const backward = tracing.take();
  return {
    name: model.name,
    images: images.shape,
    classes,
    values: tracing.values,
    parameters: tracing.parameters,
    sites: tracing.sites,
    paths: tracing.paths,
    forward: forward.map(({ node }) => node),
    backward: backward.map(({ node }) => node),
    logits: logits.id,
    loss: loss.id,
  };
}

/** The parameters of a model, in the order of their declarations. It costs a small part of tracing. Throws if the shapes do not fit the model. */
export function parametersOf(model: Model, { channels, imageSize }: Pick<TraceShapes, 'channels' | 'imageSize'>): readonly Parameter[] {
  const trial = new Tracing();
  trial.run(model, [channels, imageSize, imageSize]);
  return trial.parameters;
}

/** Names of a model's parameters in the model's order; found by a first run that only declares them. */
function orderedNames(model: Model, shapes: Pick<TraceShapes, 'channels' | 'imageSize'>, order: readonly string[]): string[] {
  const names = parametersOf(model, shapes).map(({ name }) => name);
  const groupOf = (name: string) => order.indexOf(name.split('.', 1)[0] ?? '');
  const stray = names.find((name) => groupOf(name) === -1);
  if (stray !== undefined) throw new Error(`${model.name}: parameter ${stray} must begin with one of ${order.join(', ')}`);
  return names.sort((a, b) => groupOf(a) - groupOf(b));
}

class Tracing implements Recorder {
  readonly values: Value[] = [];
  readonly parameters: Parameter[] = [];
  readonly sites: Site[] = [];
  readonly paths: Path[] = [];
  readonly #inputs = new Map<Tensor, 'images' | 'targets'>();
  #calls: RecordedCall[] = [];

  /** `names` has every parameter in its order; if absent, they keep the order of their declarations. */
  constructor(private readonly names?: readonly string[]) {}

  run(model: Model, shape: Shape): { images: Tensor; logits: Tensor } {
    const images = this.input('images', shape);
    return { images, logits: model.build({ images, param: this.paramScope(''), drop: this.dropScope('') }) };
  }

  /** The calls since the last `take`, in order. */
  take(): RecordedCall[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }

  input(name: 'images' | 'targets', shape: Shape): Tensor {
    const tensor: Tensor = { kind: 'tensor', id: -1, shape, domain: 0, recorder: this };
    this.#inputs.set(tensor, name);
    return tensor;
  }

  record(call: Call): { result: Tensor | undefined; saved: Record<string, Tensor> } {
    const { operation, inputs, attributes, domain, site, path } = call;
    const shapes: Record<string, Shape> = {};
    for (const [name, operand] of Object.entries(inputs)) shapes[name] = operand.shape;
    const shape = operation.shape(shapes, attributes);
    const result = shape === null ? undefined : this.#value(shape, domain);
    const saved: Record<string, Tensor> = {};
    for (const [name, shapeOf] of Object.entries(operation.saves ?? {})) saved[name] = this.#value(shapeOf(shapes, attributes), domain);
    const gradients: Record<string, number> = {};
    for (const name of operation.gradients ?? []) {
      const operand = inputs[name];
      if (operand?.kind === 'parameter') gradients[name] = operand.index;
    }
    const node: Node = {
      operation,
      domain,
      inputs: Object.fromEntries(Object.entries(inputs).map(([name, operand]) => [name, this.#source(operand)])),
      result: result?.id,
      saved: Object.fromEntries(Object.entries(saved).map(([name, tensor]) => [name, tensor.id])),
      gradients,
      attributes,
      site,
      path,
    };
    this.#calls.push({ node, call, result, saved });
    return { result, saved };
  }

  #value(shape: Shape, domain: number): Tensor {
    this.values.push({ shape, domain });
    return { kind: 'tensor', id: this.values.length - 1, shape, domain, recorder: this };
  }

  #source(operand: Operand): Source {
    if (operand.kind === 'parameter') return { param: operand.index };
    const input = this.#inputs.get(operand);
    return input === undefined ? { value: operand.id } : { input };
  }

  paramScope(path: string): ParamScope {
    const deeper = (name: string) => this.paramScope(path === '' ? name : `${path}.${name}`);
    const declare: ParamScope['declare'] = (shape, initializer) => {
      if (this.parameters.some(({ name }) => name === path)) throw new Error(`parameter ${path} is declared twice`);
      if (elements(shape) < 1) throw new Error(`parameter ${path} has no elements: [${shape}]`);
      const index = this.names?.indexOf(path) ?? this.parameters.length;
      const parameter: Parameter = { kind: 'parameter', index, name: path, shape, initializer };
      this.parameters[index] = parameter;
      return parameter;
    };
    return Object.assign(deeper, { path, declare });
  }

  dropScope(scope: string): DropScope {
    const deeper = (name: string) => this.dropScope(scope === '' ? name : `${scope}.${name}`);
    const site: DropScope['site'] = (shape) => {
      if (this.sites.some(({ name }) => name === scope)) throw new Error(`dropout site ${scope} is declared twice`);
      const declared: Site = { index: this.sites.length, name: scope, shape };
      this.sites.push(declared);
      return declared;
    };
    const path: DropScope['path'] = (block, branch) => {
      const declared: Path = { index: this.paths.length, block, branch };
      this.paths.push(declared);
      return declared;
    };
    return Object.assign(deeper, { site, path });
  }
}
