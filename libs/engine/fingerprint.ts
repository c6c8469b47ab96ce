/** The numerics fingerprint: two programs with one fingerprint give equal bits for equal inputs, with any number of threads. */
import { createHash } from 'node:crypto';
import type { Graph, Source } from '#graph/graph.js';
import type { Precision } from './precision.js';

/**
 * What a run's bits depend on besides its inputs. Part of every checkpoint. The number of leaves of a step decides bits too; it is an input,
 * of the run's spec.
 */
export interface Fingerprint {
  executor: string;
  precision: Precision;
  /** Instruction-set path or TensorFlow.js backend. */
  kernelPath: string;
  /**
   * Of the arithmetic: the kernels' sources (or the library's version), and what this very program calls in which order on which types, in chunks of
   * how many samples. Neither the compiler's name, nor where values lie in memory, nor code that decides no numbers.
   */
  build: string;
}

/** 16 digits of the SHA-256 of plain data. */
export function digest(data: unknown): string {
  return createHash('sha256').update(JSON.stringify(data)).digest('hex').slice(0, 16);
}

/** Digest of what a graph computes, for executors that run its operations one by one. */
export function graphDigest(graph: Graph, chunkSamples: number): string {
  const source = (from: Source) => Object.values(from)[0];
  const sources = (inputs: Readonly<Record<string, Source>>) => Object.entries(inputs).map(([name, from]) => [name, source(from)]);
  return digest([
    chunkSamples,
    [...graph.forward, ...graph.backward].map(({ operation, domain, inputs, result, saved, gradients, attributes, site, path }) => [
      operation.name,
      domain,
      sources(inputs),
      result,
      Object.entries(saved),
      Object.entries(gradients),
      sorted(attributes),
      site?.index,
      path?.index,
    ]),
    graph.values.map(({ shape, domain }) => [shape, domain]),
    graph.parameters.map(({ shape }) => shape),
  ]);
}

/** Attributes in the order of their names. */
export const sorted = (attributes: Readonly<Record<string, number>>): [string, number][] =>
  Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
