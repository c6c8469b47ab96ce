/** A model: a function from images to logits that uses the operations of this folder. */
import type { Initializer, Parameter, Path, Shape, Site, Tensor } from './tensor.js';

/** A place in the tree of parameter names: call it to go deeper, and declare a parameter where a tensor belongs. */
export interface ParamScope {
  (name: string): ParamScope;
  readonly path: string;
  /** Adds the parameter of this name to the model. Throws if the name is already declared. */
  declare(shape: Shape, initializer: Initializer): Parameter;
}

/** A place in the tree of dropout-site names, and the drop paths of residual branches. */
export interface DropScope {
  (name: string): DropScope;
  /** Adds the dropout site of this name. */
  site(shape: Shape): Site;
  /** Adds the drop path of a block's branch; blocks count from 0 over all stages. */
  path(block: number, branch: number): Path;
}

export interface ModelInputs {
  /** [B, C, H, W] */
  images: Tensor;
  param: ParamScope;
  drop: DropScope;
}

export interface Model {
  readonly name: string;
  /** Returns logits [B, classes]. */
  readonly build: (inputs: ModelInputs) => Tensor;
  /**
   * Only for models whose parameters are not ordered as declared: the first parts of parameter names. Parameters are ordered by group in this order,
   * and as declared within a group.
   */
  readonly parameterOrder?: readonly string[];
}

export function model(name: string, build: Model['build'], options: Pick<Model, 'parameterOrder'> = {}): Model {
  return { name, build, ...options };
}
