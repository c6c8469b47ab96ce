/** What an executor is: a graph goes in, a program that holds its parameters comes out. */
import type { Graph } from '#graph/graph.js';
import type { NativeProgram } from '#native/program.js';
import type { Precision } from './precision.js';
import type { Fingerprint } from './program.js';

export interface Loaded {
  program: NativeProgram;
  fingerprint: Omit<Fingerprint, 'precision'>;
}

export interface LoadOptions {
  precision: Precision;
  checkpointBlocks: boolean;
  evaluateOnly: boolean;
}

export interface Executor {
  /** Makes a program of the graph for chunks of `samples`. Throws ExecutorUnavailable, or RangeError for an option that it lacks. */
  load(graph: Graph, samples: number, options: LoadOptions): Promise<Loaded>;
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
