/** Reads and renders planned samples into uint8 CHW pixels; an image that cannot be decoded is replaced by a keyed rule. */
import type { PlannedSample } from '#data/batch-plan.js';
import { type BatchPlanner, MAX_REPLACEMENTS } from '#data/batch-plan.js';
import type { DatasetReader } from '#data/datasets/dataset-reader.js';
import { type RenderSource, renderBatch } from '#native/pixels.js';
import { DataLoss } from '#rpc/errors.js';

export interface Replaced {
  /** Index in the list of samples. */
  readonly at: number;
  /** Index in the manifest. */
  readonly sample: number;
  readonly reason: string;
  readonly replacement: number;
}

export interface Rendered {
  /** As planned, but for those replaced. */
  readonly samples: readonly PlannedSample[];
  /** [samples, 3, size, size]. */
  readonly pixels: Uint8Array;
  readonly replaced: readonly Replaced[];
}

/** Samples whose files are in memory at a time: this many are read while this many are rendered. */
const GROUP = 64;
/** Files read at a time. */
const READS = 16;

export interface RenderOptions {
  readonly planner: BatchPlanner;
  readonly reader: DatasetReader;
  readonly epoch: number;
  /** Most threads; undefined: one a core. */
  readonly threads: number | undefined;
  readonly signal: AbortSignal;
  /** Where the pixels go, [samples, 3, size, size]; default: fresh memory. */
  readonly pixels?: Uint8Array;
}

/** @throws DataLoss when bytes are gone or changed, or when even the stand-ins cannot be decoded */
export async function renderSamples(planned: readonly PlannedSample[], options: RenderOptions): Promise<Rendered> {
  const { planner, signal } = options;
  const size = planner.plan.transform.inputSize;
  const each = 3 * size * size;
  const { pixels = new Uint8Array(planned.length * each) } = options;
  const samples = [...planned];
  const replaced: Replaced[] = [];
  const groups = Array.from({ length: Math.ceil(planned.length / GROUP) }, (_, g) => planned.slice(g * GROUP, (g + 1) * GROUP));
  let reading = readGroup(groups[0] ?? [], options);
  for (const [g, group] of groups.entries()) {
    const sources = await reading;
    reading = readGroup(groups[g + 1] ?? [], options);
    // Awaited at the top of the loop, unless the rendering below throws first.
    reading.catch(() => {});
    const jobs = group.map(({ plan }, i) => ({ source: sources[i] as RenderSource, plan: plan.render }));
    const out = pixels.subarray(g * GROUP * each, (g * GROUP + group.length) * each);
    const outcomes = await renderBatch(jobs, size, out, renderOptions(options));
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.ok) continue;
      const at = g * GROUP + i;
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

async function readGroup(group: readonly PlannedSample[], { planner, reader, signal }: RenderOptions): Promise<RenderSource[]> {
  const sources = new Array<RenderSource>(group.length);
  const nearby = planner.plan.order !== 'shuffled';
  let next = 0;
  const work = async (): Promise<void> => {
    for (let i = next++; i < group.length; i = next++) sources[i] = await reader.read((group[i] as PlannedSample).sample, signal, nearby);
  };
  await Promise.all(Array.from({ length: Math.min(READS, group.length) }, work));
  return sources;
}

async function replace(original: PlannedSample, out: Uint8Array, reason: string, options: RenderOptions): Promise<PlannedSample> {
  const { planner, reader, epoch, signal } = options;
  for (let attempt = 1; attempt <= MAX_REPLACEMENTS; attempt++) {
    const standIn = planner.replacement(epoch, original.position, attempt);
    const source = await reader.read(standIn.sample, signal);
    const [outcome] = await renderBatch(
      [{ source, plan: standIn.plan.render }],
      planner.plan.transform.inputSize,
      out,
      renderOptions(options),
    );
    if (outcome?.ok) return standIn;
  }
  const name = planner.manifest.name(original.sample);
  throw new DataLoss(`sample ${name}`, `it cannot be decoded (${reason}), and neither can ${MAX_REPLACEMENTS} others in its place`);
}
