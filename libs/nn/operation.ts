/**
 * An operation: its shape, what it saves for its gradient, its gradient in terms of other operations, and its definition in plain TensorFlow.js.
 * Executors find kernels by `name`; nothing else connects an operation to native code.
 */
import type * as tfjs from '@tensorflow/tfjs-core';
import type { Parameter, Path, Shape, Site, Tensor } from './tensor.js';

export type Operand = Tensor | Parameter;
type Named<K extends string, T> = { readonly [name in K]: T };

/** The names that an operation declares; a kind that is not used is `never`. */
export interface Signature {
  inputs: string;
  /** Inputs that may be absent. */
  optional?: string;
  attributes?: string;
  saves?: string;
  /** Inputs that are parameters whose gradient this operation adds to (gradient operations only). */
  gradients?: string;
}
type Optional<S extends Signature> = S['optional'] extends string ? S['optional'] : never;
type Attributes<S extends Signature> = S['attributes'] extends string ? S['attributes'] : never;
type Saves<S extends Signature> = S['saves'] extends string ? S['saves'] : never;
type Gradients<S extends Signature> = S['gradients'] extends string ? S['gradients'] : never;
type Inputs<S extends Signature, T> = Named<S['inputs'], T> & Partial<Named<Optional<S>, T | undefined>>;

/** What the definition of an operation may need to know about the current chunk. */
export interface Surroundings {
  /** Mask of the call's site, [samples, ...site.shape]: 0 if dropped, 1/(1 − p) if kept. Absent if the rate is 0. */
  mask?: tfjs.Tensor | undefined;
  /** The call's path: positions in the chunk of the kept samples (int32), ascending, and 1/(1 − p). */
  kept?: { indices: tfjs.Tensor1D; scale: number } | undefined;
  /** Factor of every loss gradient. */
  lossScale: number;
}

export type TensorFlow = typeof tfjs;

/** A contribution to an input's gradient: a tensor that is added to the other contributions, or a function that adds itself to their sum. */
export type Contribution = (() => Tensor) | { into: (sum: Tensor) => Tensor };

/** One use of an operation, as its gradient rule sees it. */
export interface Use<S extends Signature> {
  readonly inputs: Inputs<S, Operand>;
  readonly y: Tensor;
  readonly saved: Named<Saves<S>, Tensor>;
  readonly attributes: Named<Attributes<S>, number>;
  readonly site: Site | undefined;
  readonly path: Path | undefined;
}

export interface OperationSpec<S extends Signature> {
  /** Kernel name. */
  name: string;
  /** Per-sample shape of the result; null if the operation only adds to parameter gradients. */
  shape: (shapes: Inputs<S, Shape>, attributes: Named<Attributes<S>, number>) => Shape | null;
  /** Per-sample shapes of what the gradient needs besides the inputs. */
  saves?: Named<Saves<S>, (shapes: Inputs<S, Shape>, attributes: Named<Attributes<S>, number>) => Shape>;
  /** Parameters whose gradients the operation adds to. */
  gradients?: readonly Gradients<S>[];
  /** The input whose memory the result may reuse if nothing reads that input later. */
  inPlace?: S['inputs'];
  /** Contributions to the inputs' gradients; each is only computed if that input needs a gradient. Absent: the gradient stops here. */
  gradient?: (dy: Tensor, use: Use<S>) => Partial<Named<S['inputs'] | Optional<S>, Contribution>>;
  /**
   * The definition. The first axis of tensors is the chunk's samples; parameters do not have it. Returns `y` and everything that is saved or added.
   */
  tfjs: (
    tf: TensorFlow,
    inputs: Inputs<S, tfjs.Tensor>,
    attributes: Named<Attributes<S>, number>,
    surroundings: Surroundings,
  ) => Named<Saves<S> | Gradients<S>, tfjs.Tensor> & { y?: tfjs.Tensor };
}

/** An operation without the types of its signature, as graphs hold it. */
export type Operation = OperationSpec<{ inputs: string; attributes: string; saves: string; gradients: string }>;

export interface Call {
  readonly operation: Operation;
  readonly inputs: Readonly<Record<string, Operand>>;
  readonly attributes: Readonly<Record<string, number>>;
  /** Domain of the result; the inputs' domain unless the operation moves between domains. */
  readonly domain: number;
  readonly site?: Site | undefined;
  readonly path?: Path | undefined;
}

export interface Placement {
  site?: Site | undefined;
  path?: Path | undefined;
  domain?: number;
}

export interface Applied<S extends Signature> {
  /** Throws if the operation has no result. */
  readonly y: Tensor;
  readonly saved: Named<Saves<S>, Tensor>;
}

/** Records one use of an operation. */
export type Apply<S extends Signature> = (
  inputs: Inputs<S, Operand>,
  attributes: Named<Attributes<S>, number>,
  placement?: Placement,
) => Applied<S>;

/** Declares an operation and returns a function that records one use of it. */
export function operation<S extends Signature>(spec: OperationSpec<S>): Apply<S> {
  return (inputs, attributes, placement = {}) => {
    const given: Record<string, Operand> = {};
    let first: Tensor | undefined;
    for (const [name, operand] of Object.entries(inputs) as [string, Operand | undefined][]) {
      if (operand === undefined) continue;
      given[name] = operand;
      if (operand.kind === 'tensor') first ??= operand;
    }
    if (first === undefined) throw new Error(`${spec.name}: no tensor among its inputs`);
    const { result, saved } = first.recorder.record({
      operation: spec as unknown as Operation,
      inputs: given,
      attributes,
      domain: placement.domain ?? first.domain,
      site: placement.site,
      path: placement.path,
    });
    return {
      get y(): Tensor {
        if (result === undefined) throw new Error(`${spec.name} has no result`);
        return result;
      },
      saved: saved as Named<Saves<S>, Tensor>,
    };
  };
}
