/** Reads planned samples and renders them into uint8 CHW pixels. An image that cannot be decoded is replaced by another one, drawn by key. */

import { quietly } from '#bounds/quietly.js';
import type { DatasetReader } from '#data/datasets/dataset-reader.js';
import type { PlannedSample } from '#data/plan/batch-plan.js';
import { type BatchPlanner, MAX_REPLACEMENTS } from '#data/plan/batch-plan.js';
import { DataLoss } from '#errors/errors.js';
import { groupsWithin } from '#native/pixels/groups-within.js';
import { type RenderSource, renderBatch } from '#native/pixels.js';
import { FileMemory } from './file-memory.js';

export interface Replaced {
  /** Index in the list of samples. */
  readonly at: number;
  /** Index in the manifest. */
  readonly sample: number;
  readonly reason: string;
  readonly replacement: number;
}

export interface Rendered {
  /** The rendered samples: those planned, except for the replaced ones. */
  readonly samples: readonly PlannedSample[];
  /** [samples, 3, size, size]. */
  readonly pixels: Uint8Array;
  readonly replaced: readonly Replaced[];
}

/** Number of samples in a group. One group is read while another one is rendered; groups of large files are smaller. */
const GROUP = 64;
const GROUP_BYTES = 16 << 20;
/** Number of samples that one job reads. Several jobs read a group; each job checks its hashes in one turn of the event loop. */
const READ_TOGETHER = 16;

export interface RenderOptions {
  readonly planner: BatchPlanner;
  readonly reader: DatasetReader;
  readonly epoch: number;
  /** Largest number of threads; undefined: one per core. */
  readonly threads: number | undefined;
  readonly signal: AbortSignal;
  /** Destination of the pixels, [samples, 3, size, size]; default: new memory. */
  readonly pixels?: Uint8Array;
  /** Pool of memory into which files are read; default: new memory. */
  readonly files?: FileMemory;
}

/** @throws DataLoss if bytes are missing or changed, or if the replacing samples cannot be decoded either */
export async function renderSamples(planned: readonly PlannedSample[], options: RenderOptions): Promise<Rendered> {
  const { planner, signal } = options;
  const size = planner.plan.transform.inputSize;
  const each = 3 * size * size;
  const { pixels = new Uint8Array(planned.length * each) } = options;
  const samples = [...planned];
  const replaced: Replaced[] = [];
  const lengths = planned.map(({ sample }) => planner.manifest.byteLengths[sample] as number);
  const ranges = groupsWithin(lengths, { maxBytes: GROUP_BYTES, maxItems: GROUP });
  const groups = ranges.map(([from, to]) => planned.slice(from, to));
  const { files = new FileMemory() } = options;
  let reading = readGroup(groups[0] ?? [], options, files);
  for (const [g, [from, to]] of ranges.entries()) {
    const { sources, memories } = await reading;
    // Awaited at the beginning of the next iteration, unless the rendering below throws first.
    reading = quietly(readGroup(groups[g + 1] ?? [], options, files));
    const jobs = planned.slice(from, to).map(({ plan }, i) => ({ source: sources[i] as RenderSource, plan: plan.render }));
    const out = pixels.subarray(from * each, to * each);
    const outcomes = await renderBatch(jobs, size, out, renderOptions(options));
    for (const memory of memories) files.give(memory);
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.ok) continue;
      const at = from + i;
      const original = planned[at] as PlannedSample;
      const standIn = await replace(original, pixels.subarray(at * each, (at + 1) * each), outcome.reason, options);
      samples[at] = standIn;
      replaced.push({ at, sample: original.sample, reason: outcome.reason, replacement: standIn.sample });
    }
    signal.throwIfAborted();
  }
  return { samples, pixels, replaced };
}

const renderOptions = ({ threads, signal }: RenderOptions) => (threads === undefined ? { signal } : { threads, signal });

interface ReadGroup {
  readonly sources: RenderSource[];
  /** Memory to give back after rendering. If reading or rendering fails, it is left to garbage collection. */
  readonly memories: Uint8Array[];
}

async function readGroup(
  group: readonly PlannedSample[],
  { planner, reader, signal }: RenderOptions,
  files: FileMemory,
): Promise<ReadGroup> {
  const nearby = planner.plan.order !== 'shuffled';
  const memories: Uint8Array[] = [];
  const allocate = (bytes: number): Uint8Array => {
    const memory = files.take(bytes);
    memories.push(memory);
    return memory;
  };
  const parts = Array.from({ length: Math.ceil(group.length / READ_TOGETHER) }, (_, part) => {
    const samples = group.slice(part * READ_TOGETHER, (part + 1) * READ_TOGETHER).map(({ sample }) => sample);
    return reader.readAll(samples, { signal, nearby, allocate });
  });
  return { sources: (await Promise.all(parts)).flat(), memories };
}

async function replace(original: PlannedSample, out: Uint8Array, reason: string, options: RenderOptions): Promise<PlannedSample> {
  const { planner, reader, epoch, signal } = options;
  for (let attempt = 1; attempt <= MAX_REPLACEMENTS; attempt++) {
    const standIn = planner.replacement(epoch, original.position, attempt);
    const source = await reader.read(standIn.sample, { signal });
    const [outcome] = await renderBatch(
      [{ source, plan: standIn.plan.render }],
      planner.plan.transform.inputSize,
      out,
      renderOptions(options),
    );
    if (outcome?.ok) return standIn;
  }
  const name = planner.manifest.name(original.sample);
  throw new DataLoss(
    `sample ${name}`,
    `it cannot be decoded (${reason}), and neither can ${MAX_REPLACEMENTS} samples that would replace it`,
  );
}
