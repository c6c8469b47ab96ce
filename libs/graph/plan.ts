/** The memory plan of a program: the samples of a chunk, and the place of each value in the arena. It depends on shapes only. */

import { atOnce, type Pieces } from '#bounds/pieces.js';
import type { Graph } from './graph.js';

/** Rows of a matrix product for which a chunk's activations stay near the cache: 8 samples of 197 tokens. */
const CHUNK_ROWS = 1576;

/** The limit for the longest sequence of a model that shortens it. Its early, narrow maps may exceed the cache, but its memory stays bounded. */
const MOST_CHUNK_ROWS = 8 * CHUNK_ROWS;

/** Values start at multiples of 64 bytes. */
const ALIGNMENT_FLOATS = 16;

/**
 * Samples per chunk for batches of `batch` samples: about CHUNK_ROWS rows where most of the work is, with the batch split evenly. The same for bf16:
 * on one core, chunks of 4, 8 and 16 differ by at most 5 % (swin_femto 54.8, 53.8, 51.6 images/s), and with two cores, smaller chunks leave less work
 * to share.
 */
export function chunkSamples(graph: Graph, batch: number): number {
  const longest = Math.max(1, ...graph.forward.map(({ attributes }) => attributes.rows ?? 1));
  const fitting = Math.min(CHUNK_ROWS / rowsAtWork(graph), MOST_CHUNK_ROWS / longest);
  const most = Math.min(batch, Math.max(1, Math.round(fitting)));
  return Math.ceil(batch / Math.ceil(batch / most));
}

/**
 * Average number of rows per sample of the matrix products, weighted by the size of their weights; the number of tokens if the model does not change
 * it.
 */
function rowsAtWork(graph: Graph): number {
  const products = graph.forward.filter(({ operation }) => operation.name === 'linear').map(({ attributes }) => attributes);
  const size = ({ in: k = 0, out = 0 }: (typeof products)[0]) => k * out;
  const weights = products.reduce((sum, one) => sum + size(one), 0);
  return weights === 0 ? 1 : products.reduce((sum, one) => sum + (one.rows ?? 0) * size(one), 0) / weights;
}

/** The values that one kernel call reads and writes, by index. */
export interface MemoryStep {
  reads: readonly number[];
  writes: readonly number[];
  /** `to` (written here) may use the memory of `from` (read here) if nothing reads `from` later. */
  inPlace?: { from: number; to: number } | undefined;
}

export interface MemoryPlan {
  /** Offset of each value in floats. Unused values are at 0. */
  offsets: number[];
  arenaFloats: number;
}

interface Block {
  first: number;
  last: number;
  floats: number;
  offset: number;
}

/**
 * Places values of the given sizes so that two values that are live at the same step never overlap. A value is live from the step that writes it to
 * the last step that reads it, both included; `until` extends this.
 */
export function planMemory(
  floats: readonly number[],
  steps: readonly MemoryStep[],
  until: ReadonlyMap<number, number> = new Map(),
): MemoryPlan {
  return atOnce(planMemoryInPieces(floats, steps, until));
}

/** Same as planMemory. */
export function* planMemoryInPieces(
  floats: readonly number[],
  steps: readonly MemoryStep[],
  until: ReadonlyMap<number, number>,
): Pieces<MemoryPlan> {
  const blocks = new Map<number, Block>();
  const lastRead = new Map<number, number>(until);
  steps.forEach(({ reads }, at) => {
    for (const value of reads) lastRead.set(value, Math.max(at, lastRead.get(value) ?? 0));
  });
  yield;
  steps.forEach(({ writes, reads, inPlace }, at) => {
    for (const value of reads) if (!blocks.has(value)) throw new Error(`value ${value} is read at step ${at} before it is written`);
    for (const value of writes) {
      const last = Math.max(at, lastRead.get(value) ?? at);
      const from = inPlace?.to === value ? inPlace.from : undefined;
      const taken = from === undefined ? undefined : blocks.get(from);
      if (from !== undefined && taken !== undefined && lastRead.get(from) === at && floats[from] === floats[value]) {
        taken.last = Math.max(taken.last, last);
        blocks.set(value, taken);
      } else {
        blocks.set(value, { first: at, last, floats: align(floats[value] ?? 0), offset: 0 });
      }
    }
  });
  yield;
  return yield* place(blocks, floats.length);
}

/** Places the largest first, each at the lowest offset that is free during its whole life. */
function* place(blocks: ReadonlyMap<number, Block>, count: number): Pieces<MemoryPlan> {
  const placed: Block[] = [];
  const order = [...new Set(blocks.values())].sort((a, b) => b.floats - a.floats || a.first - b.first);
  for (const block of order) {
    yield;
    for (const other of placed) {
      const together = other.first <= block.last && block.first <= other.last;
      if (together && other.offset < block.offset + block.floats && block.offset < other.offset + other.floats) {
        block.offset = other.offset + other.floats;
      }
    }
    let after = placed.length; // sorted by offset
    while (after > 0 && (placed[after - 1] as Block).offset > block.offset) after--;
    placed.splice(after, 0, block);
  }
  return {
    offsets: Array.from({ length: count }, (_, value) => blocks.get(value)?.offset ?? 0),
    arenaFloats: placed.reduce((end, { offset, floats }) => Math.max(end, offset + floats), 0),
  };
}

function align(floats: number): number {
  return Math.ceil(floats / ALIGNMENT_FLOATS) * ALIGNMENT_FLOATS;
}
