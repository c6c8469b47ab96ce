/** A model: a plain function from images to logits over the operations of this folder. */
import type { Initializer, Parameter, Path, Shape, Site, Tensor } from './tensor.js';

/** A place in the tree of parameter names: call it to go deeper, declare a parameter where a tensor belongs. */
export interface ParamScope {
  (name: string): ParamScope;
  readonly path: string;
  /** Adds the parameter of this name to the model. A second one of the same name is refused. */
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
   * First parts of parameter names, where parameters are not ordered as the model declares them: they come group by group in this
   * order, as declared within a group.
   */
  readonly parameterOrder?: readonly string[];
}

export function model(name: string, build: Model['build'], options: Pick<Model, 'parameterOrder'> = {}): Model {
  return { name, build, ...options };
}
