/** An executor turns a graph into a program that holds the graph's parameters. */
import type { Graph } from '#graph/graph.js';
import type { Executable } from './executable.js';
import type { Fingerprint } from './fingerprint.js';
import type { Precision } from './precision.js';

/** A program that is ready to be created; it takes no memory yet. */
export interface Prepared {
  fingerprint: Omit<Fingerprint, 'precision'>;
  /** Samples of a chunk, if they are fewer than was asked for, because the device has too little memory. */
  samples?: number;
  /** The GPU that the program will run on; absent if the executor uses none. */
  gpu?: Gpu;
  /** Allocates the memory. */
  create(): Promise<Executable>;
}

export interface Gpu {
  /** As its driver names it. */
  adapter: string;
  driver: string;
  /** The library that drives it, with its version. */
  runtime: string;
}

/** What a step holds at the same time besides the program itself. */
export interface HeldBySteps {
  /** Micro-batches whose images are prepared (images.ts). */
  batches: number;
  /** Leaves of a step. */
  leaves: number;
}

export interface PrepareOptions {
  precision: Precision;
  checkpointBlocks: boolean;
  evaluateOnly: boolean;
  /** `samples`: those of a micro-batch. */
  held: HeldBySteps & { samples: number };
  /** See CompileOptions. */
  like?: string | undefined;
}

export interface Executor {
  /** Plans a program of the graph for chunks of `samples`. Throws ExecutorUnavailable, or RangeError for an unsupported option. */
  prepare(graph: Graph, samples: number, options: PrepareOptions): Promise<Prepared>;
  /** Undefined if the executor can run here; otherwise says what is missing. */
  missing(): Promise<string | undefined>;
  /** What it runs on, as a line of text for people. Only called where nothing is missing. */
  describe?(): Promise<string>;
}

/** The executor exists but cannot run on this machine. */
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
