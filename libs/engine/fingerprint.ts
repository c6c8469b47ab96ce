/** The numerics fingerprint: two programs with equal fingerprints give equal bits for equal inputs, with any number of threads. */
import { createHash } from 'node:crypto';
import type { Graph, Source } from '#graph/graph.js';
import type { Precision } from './precision.js';

/**
 * Everything that a run's bits depend on besides its inputs. Part of every checkpoint. The number of leaves of a step also changes bits, but it is an
 * input: a field of the run's spec.
 */
export interface Fingerprint {
  executor: string;
  precision: Precision;
  /** Instruction-set path or TensorFlow.js backend. */
  kernelPath: string;
  /**
   * Identifies the arithmetic: the kernels' sources (or the library's version), and the calls of this program: their order, their types, and the
   * samples of a chunk. The compiler's name, the places of values in memory, and code that does not compute numbers are not part of it.
   */
  build: string;
}

/** The first 16 hex digits of the SHA-256 of plain data. */
export function digest(data: unknown): string {
  return createHash('sha256').update(JSON.stringify(data)).digest('hex').slice(0, 16);
}

/** Digest of what a graph computes, for executors that run its operations one at a time. */
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

/** Attributes sorted by name. */
export const sorted = (attributes: Readonly<Record<string, number>>): [string, number][] =>
  Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1));
