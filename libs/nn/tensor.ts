/**
 * The symbols that a model computes with. They hold no numbers: a model is a function of these symbols and is traced into a graph.
 *
 * Shapes are per sample: a Tensor of shape [N, D] stands for [B, N, D], where B is all samples of a chunk (domain 0) or, inside the branch of drop
 * path k, its kept samples (domain k + 1).
 */
import type { Call } from './operation.js';

export type Shape = readonly number[];

export interface Tensor {
  readonly kind: 'tensor';
  readonly id: number;
  readonly shape: Shape;
  readonly domain: number;
  /** The trace this tensor belongs to. */
  readonly recorder: Recorder;
}

/** Values a parameter starts from: drawn in float64 by libs/nn/initialisation.ts, rounded once to float32. */
export type Initializer =
  | { readonly kind: 'constant'; readonly value: number }
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'uniform'; readonly bound: number };

export interface Parameter {
  readonly kind: 'parameter';
  /** Position in the model's order, which is the order of state, gradients and checkpoints. */
  readonly index: number;
  /** Dotted name, equal to timm's. */
  readonly name: string;
  readonly shape: Shape;
  readonly initializer: Initializer;
}

/** A place where dropout acts. `shape` is per sample; the element counter of its mask is row-major in it. */
export interface Site {
  readonly index: number;
  readonly name: string;
  readonly shape: Shape;
}

/** One residual branch under stochastic depth. Its mask is drawn per sample. */
export interface Path {
  readonly index: number;
  /** Block, counted from 0 over all stages: selects the rate. */
  readonly block: number;
  /** 0: attention, token mixer or only branch; 1: MLP or channel mixer. */
  readonly branch: number;
}

/** Records operations as they are applied; implemented by libs/graph/trace.ts. */
export interface Recorder {
  record(call: Call): { result: Tensor | undefined; saved: Record<string, Tensor> };
}

export function elements(shape: Shape): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The last axis and the number of rows before it, per sample. */
export function rowsOf(shape: Shape): { rows: number; width: number } {
  const width = shape.at(-1);
  if (width === undefined) throw new Error('A tensor without axes has no rows');
  return { rows: elements(shape) / width, width };
}

/** Sides of a map whose cells are the rows of a tensor, in row order. */
export interface Grid {
  height: number;
  width: number;
}

/** Channels of a token map [H·W, C]. Throws if the tensor has another shape. */
export function gridOf(x: Tensor, { height, width }: Grid): number {
  const [tokens, channels] = x.shape;
  if (x.shape.length !== 2 || tokens !== height * width || channels === undefined) {
    throw new Error(`[${x.shape}] is not a map of ${height}×${width} tokens`);
  }
  return channels;
}
