/** Makes one batch: plans it, renders it, finishes it where asked, and hashes the payload. */
import type { SlotMix } from '#data/augment/mix-plan.js';
import { normalisation } from '#data/augment/transform.js';
import { finishPlanOf, payloadBytes, softTargetsOf } from '#data/batch.js';
import type { BatchPlan, BatchPlanner, PlannedSample } from '#data/batch-plan.js';
import { sha256 } from '#data/sha256.js';
import { finishBatch } from '#native/pixels.js';
import { BatchHeader, type BatchSample, type MixParameters, PixelFormat } from '#protocol/dropstream/v1/data.js';
import type { OpenDataset } from './open-datasets.js';
import { type Rendered, renderSamples } from './render-samples.js';

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
  /** Seconds of a part, for metrics. */
  readonly timed: (part: 'render' | 'finish' | 'hash', seconds: number) => void;
}

export interface MadeBatch {
  readonly header: BatchHeader;
  readonly payload: Uint8Array;
}

/** Bytes in memory while a batch of a format is made and sent. */
export function batchBytes(format: PixelFormat, slots: number, size: number, classes: number): number {
  const payload = payloadBytes(format, slots, size, classes);
  return format === PixelFormat.UINT8 ? payload : payload + payloadBytes(PixelFormat.UINT8, slots, size, classes);
}

export async function makeBatch(job: BatchJob): Promise<MadeBatch> {
  const { planner, dataset, epoch, index, format, signal, timed } = job;
  const clock = stopwatch();
  const plan = planner.batch(epoch, index);
  const rendered = await renderSamples(plan.samples, { planner, reader: dataset.reader, epoch, threads: job.threads, signal });
  timed('render', clock());
  const header = headerOf(job, plan, rendered);
  const payload = format === PixelFormat.UINT8 ? rendered.pixels : await finished(header, rendered.pixels, format, job.threads);
  if (format !== PixelFormat.UINT8) timed('finish', clock());
  signal.throwIfAborted();
  const payloadSha256 = await sha256(payload, signal);
  timed('hash', clock());
  return { header: { ...header, payloadBytes: BigInt(payload.byteLength), payloadSha256 }, payload };
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
    erase: plan.erase.map(({ key: [low, high], ...box }) => ({ ...box, key: (BigInt(high) << 32n) | BigInt(low) })),
    mix: mix ? mixParameters(mix) : undefined,
    padding,
  };
}

function mixParameters({ lambda, partner, box }: SlotMix): MixParameters {
  const { top, left, height, width } = box ?? { top: 0, left: 0, height: 0, width: 0 };
  return { lambda, partner, cutmix: box !== null, top, left, height, width };
}

/** Normalised, erased, mixed images, then their soft targets; little endian, as every machine here is. */
async function finished(header: BatchHeader, pixels: Uint8Array, format: PixelFormat, threads: number | undefined): Promise<Uint8Array> {
  const { size, classes, samples } = header;
  const payload = new Uint8Array(payloadBytes(format, samples.length, size, classes));
  const values = samples.length * 3 * size * size;
  const out = format === PixelFormat.FLOAT32 ? new Float32Array(payload.buffer, 0, values) : new Uint16Array(payload.buffer, 0, values);
  await finishBatch(pixels, samples.length, size, finishPlanOf(header), out, threads === undefined ? {} : { threads });
  payload.set(new Uint8Array(softTargetsOf(header).buffer), out.byteLength);
  return payload;
}

/** Seconds since the last call. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const seconds = (now - last) / 1000;
    last = now;
    return seconds;
  };
}
