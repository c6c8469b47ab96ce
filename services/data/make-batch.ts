/** Prepares one batch: plans it, renders it, finishes it if the format asks for it, and hashes the payload. */

import { finishPlanOf, payloadBytes, softTargetsOf } from '#data/client/batch.js';
import { type BatchMemory, CHUNK_BYTES } from '#data/client/batch-message.js';
import type { SlotMix } from '#data/plan/augment/mix-plan.js';
import { normalisation } from '#data/plan/augment/transform.js';
import type { BatchPlan, BatchPlanner, PlannedSample } from '#data/plan/batch-plan.js';
import type { Plan } from '#data/plan/plan.js';
import { finishBatch } from '#native/pixels.js';
import { BatchHeader, type BatchSample, type MixParameters, PixelFormat } from '#protocol/dropstream/v1/data.js';
import { eraseModes } from '#spec/words.js';
import { sha256Bytes } from '#storage/content-hash.js';
import type { FileMemory } from './file-memory.js';
import type { MemoryPool } from './memory-pool.js';
import type { OpenDataset } from './open-datasets.js';
import { type Rendered, renderSamples } from './render-samples.js';
import type { Needs } from './shares.js';

export interface BatchJob {
  readonly planner: BatchPlanner;
  readonly dataset: OpenDataset;
  readonly planDigest: string;
  readonly epoch: number;
  readonly index: number;
  /** UINT8, FLOAT32 or BFLOAT16. */
  readonly format: PixelFormat;
  readonly threads: number | undefined;
  readonly signal: AbortSignal;
  readonly memories: MemoryPool;
  readonly files: FileMemory;
  /** Called with the seconds of each part, for metrics. */
  readonly timed: (part: 'render' | 'finish' | 'hash', seconds: number) => void;
}

export interface MadeBatch {
  readonly header: BatchHeader;
  /** Memory of the payload; the caller gives it back to the pool after sending. */
  readonly memory: BatchMemory;
}

/** The memory in bytes that a batch needs until it is sent (with a chunk in the transport), and its work in bytes of uint8 pixels. */
export function batchNeeds(format: PixelFormat, slots: number, size: number, classes: number): Needs {
  const payload = payloadBytes(format, slots, size, classes);
  const cost = payloadBytes(PixelFormat.UINT8, slots, size, classes);
  const inTransport = Math.min(payload, CHUNK_BYTES);
  return { bytes: inTransport + (format === PixelFormat.UINT8 ? payload : payload + cost), cost };
}

/** The needs of a full batch of a plan. */
export function needsOf(plan: Plan, format: PixelFormat, classes: number): Needs {
  return batchNeeds(format, plan.batchSize, plan.transform.inputSize, classes);
}

export async function makeBatch(job: BatchJob): Promise<MadeBatch> {
  const { planner, dataset, epoch, index, format, signal, timed, memories, files, threads } = job;
  const clock = stopwatch();
  const plan = planner.batch(epoch, index);
  const [slots, size] = [plan.samples.length, planner.plan.transform.inputSize];
  const held = [memories.take(payloadBytes(PixelFormat.UINT8, slots, size, 0))];
  try {
    const pixels = held[0]!.payload;
    const rendered = await renderSamples(plan.samples, { planner, reader: dataset.reader, epoch, threads, signal, pixels, files });
    timed('render', clock());
    const header = headerOf(job, plan, rendered);
    if (format !== PixelFormat.UINT8) {
      held.push(memories.take(payloadBytes(format, slots, size, header.classes)));
      await finish(header, pixels, held[1]!.payload, format, threads);
      timed('finish', clock());
      memories.give(held.shift()!);
    }
    signal.throwIfAborted();
    const memory = held[0]!;
    const payloadSha256 = await sha256Bytes(memory.payload, signal);
    timed('hash', clock());
    held.pop();
    return { header: { ...header, payloadBytes: BigInt(memory.bytes), payloadSha256 }, memory };
  } finally {
    for (const memory of held) memories.give(memory);
  }
}

function headerOf(job: BatchJob, plan: BatchPlan, { samples, replaced }: Rendered): BatchHeader {
  const { planner, dataset, planDigest, epoch, index, format } = job;
  const { mean, std } = normalisation(planner.plan.transform);
  return {
    ...BatchHeader.create(),
    planDigest,
    epoch,
    index,
    batchesPerEpoch: planner.batchesPerEpoch,
    firstPosition: BigInt(plan.firstPosition),
    samples: samples.map((sample, slot) => batchSample(sample, plan.mix[slot] ?? null)),
    channels: 3,
    size: planner.plan.transform.inputSize,
    classes: dataset.manifest.classes.length,
    format,
    mean: [...mean],
    std: [...std],
    replaced: replaced.map(({ at, sample, reason, replacement }) => ({
      slot: at,
      sample: BigInt(sample),
      path: dataset.manifest.name(sample),
      reason,
      replacement: BigInt(replacement),
    })),
    smoothing: planner.plan.mix?.smoothing ?? 0,
  };
}

export function batchSample({ sample, label, plan, padding }: PlannedSample, mix: SlotMix | null): BatchSample {
  return {
    sample: BigInt(sample),
    label,
    erase: plan.erase.map(({ key: [low, high], mode, ...box }) => ({
      ...box,
      mode: eraseModes.fromWord(mode),
      key: (BigInt(high) << 32n) | BigInt(low),
    })),
    mix: mix ? mixParameters(mix) : undefined,
    padding,
  };
}

function mixParameters({ lambda, partner, box }: SlotMix): MixParameters {
  const { top, left, height, width } = box ?? { top: 0, left: 0, height: 0, width: 0 };
  return { lambda, partner, cutmix: box !== null, top, left, height, width };
}

/** Normalised, erased and mixed images, then their soft targets. Little-endian, as all supported machines are. */
async function finish(header: BatchHeader, pixels: Uint8Array, payload: Uint8Array, format: PixelFormat, threads: number | undefined) {
  const { size, samples } = header;
  const values = samples.length * 3 * size * size;
  const { buffer, byteOffset } = payload;
  const out = format === PixelFormat.FLOAT32 ? new Float32Array(buffer, byteOffset, values) : new Uint16Array(buffer, byteOffset, values);
  await finishBatch(pixels, samples.length, size, finishPlanOf(header), out, threads === undefined ? {} : { threads });
  payload.set(new Uint8Array(softTargetsOf(header).buffer), out.byteLength);
}

/** Returns a function that gives the seconds since its last call. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}
