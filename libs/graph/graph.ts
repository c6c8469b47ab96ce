/** A traced model: the operations that an executor runs, in order. */
import type { Operation } from '#nn/operation.js';
import type { Parameter, Path, Shape, Site } from '#nn/tensor.js';

/** Where an input of a node comes from. */
export type Source = { readonly value: number } | { readonly param: number } | { readonly input: 'images' | 'targets' };

export interface Node {
  readonly operation: Operation;
  /** 0: all samples; k + 1: the samples that path k keeps. */
  readonly domain: number;
  readonly inputs: Readonly<Record<string, Source>>;
  /** Value of the result; absent if the node only adds to gradients. */
  readonly result: number | undefined;
  readonly saved: Readonly<Record<string, number>>;
  /** Parameters whose gradients the node adds to, by the operation's names for them. */
  readonly gradients: Readonly<Record<string, number>>;
  readonly attributes: Readonly<Record<string, number>>;
  readonly site: Site | undefined;
  readonly path: Path | undefined;
}

export interface Value {
  /** Shape per sample. */
  readonly shape: Shape;
  readonly domain: number;
}

export interface Graph {
  readonly name: string;
  /** Per-sample shapes of the inputs. */
  readonly images: Shape;
  readonly classes: number;
  readonly values: readonly Value[];
  readonly parameters: readonly Parameter[];
  readonly sites: readonly Site[];
  readonly paths: readonly Path[];
  readonly forward: readonly Node[];
  readonly backward: readonly Node[];
  /** Values of the logits [classes] and the loss [1]. */
  readonly logits: number;
  readonly loss: number;
}
