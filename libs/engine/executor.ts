/** What an executor is: a graph goes in, a program that holds its parameters comes out. */
import type { Graph } from '#graph/graph.js';
import type { Executable } from './executable.js';
import type { Fingerprint } from './fingerprint.js';
import type { Precision } from './precision.js';

/** A program as good as made: it takes no memory yet. */
export interface Prepared {
  fingerprint: Omit<Fingerprint, 'precision'>;
  /** Takes the memory. */
  create(): Promise<Executable>;
}

export interface PrepareOptions {
  precision: Precision;
  checkpointBlocks: boolean;
  evaluateOnly: boolean;
}

export interface Executor {
  /** Plans a program of the graph for chunks of `samples`. Throws ExecutorUnavailable, or RangeError for an option that it lacks. */
  prepare(graph: Graph, samples: number, options: PrepareOptions): Promise<Prepared>;
  /** Undefined where it can run here, else what is missing. */
  missing(): Promise<string | undefined>;
}

/** The executor exists and cannot run on this machine. */
export class ExecutorUnavailable extends Error {
  override readonly name = 'ExecutorUnavailable';
  constructor(
    readonly executor: string,
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`executor ${executor} is not available: ${reason}`, options);
  }
}
