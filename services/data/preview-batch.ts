/** Renders the first images of a batch as PNG files, as training sees them: erased and mixed, but not normalised. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { finishPlanOf } from '#data/client/batch.js';
import type { SlotMix } from '#data/plan/augment/mix-plan.js';
import { normalisation } from '#data/plan/augment/transform.js';
import type { PlannedSample } from '#data/plan/batch-plan.js';
import { encodePng, finishBatch } from '#native/pixels.js';
import { BatchHeader, type PreviewImage } from '#protocol/dropstream/v1/data.js';
import { describeSteps } from './describe-steps.js';
import { type BatchJob, batchSample } from './make-batch.js';
import { renderSamples } from './render-samples.js';

/** Largest size of the PNG files in bytes: below the largest gRPC message, with room for the texts. */
const MAX_PNG_BYTES = 12 << 20;

type PreviewJob = Pick<BatchJob, 'planner' | 'dataset' | 'epoch' | 'index' | 'threads' | 'signal'>;

/** At most `limit` images; fewer if they would not fit into one message. */
export async function previewBatch(job: PreviewJob, limit: number): Promise<PreviewImage[]> {
  const { planner, dataset, epoch, index, threads, signal } = job;
  const { transform } = planner.plan;
  const size = transform.inputSize;
  const plan = planner.batch(epoch, index);
  // Only the shown slots and their partners are rendered.
  const shown = plan.samples.slice(0, limit).map((_, slot) => slot);
  const needed = [...new Set([...shown, ...shown.flatMap((slot) => plan.mix[slot]?.partner ?? [])])];
  const place = new Map(needed.map((slot, at) => [slot, at]));
  const mixes = needed.map((slot): SlotMix | null => {
    const mix = shown.includes(slot) ? plan.mix[slot] : null;
    return mix ? { ...mix, partner: place.get(mix.partner) as number } : null;
  });
  const { samples, pixels } = await renderSamples(
    needed.map((slot) => plan.samples[slot] as PlannedSample),
    {
      planner,
      reader: dataset.reader,
      epoch,
      threads,
      signal,
    },
  );
  const { mean, std } = normalisation(transform);
  const header = {
    ...BatchHeader.create(),
    mean: [...mean],
    std: [...std],
    samples: samples.map((sample, at) => batchSample(sample, mixes[at] ?? null)),
  };
  const values = new Float32Array(pixels.length);
  await finishBatch(pixels, samples.length, size, finishPlanOf(header), values, threads === undefined ? {} : { threads });

  const name = (at: number) => dataset.manifest.classes[samples[at]?.label ?? 0] ?? '';
  const images: PreviewImage[] = [];
  let bytes = 0;
  for (const at of shown.keys()) {
    // Compression blocks this thread, so other calls get their turn between two images.
    await nextTurn();
    signal.throwIfAborted();
    const area = size * size;
    const png = encodePng(asBytes(values.subarray(at * 3 * area, (at + 1) * 3 * area), area, mean, std), size, size, 'chw');
    bytes += png.byteLength;
    if (bytes > MAX_PNG_BYTES && images.length > 0) break;
    const { sample, plan: done } = samples[at] as PlannedSample;
    const mix = mixes[at] ?? null;
    const steps = describeSteps(done, mix, size, { own: name(at), partner: mix ? name(mix.partner) : '' });
    images.push({ sample: BigInt(sample), className: name(at), png, steps });
  }
  return images;
}

/** Converts normalised CHW values back to bytes; values outside of 0 to 255 are clamped. */
function asBytes(values: Float32Array, area: number, mean: readonly number[], std: readonly number[]): Uint8Array {
  return Uint8Array.from(values, (value, i) => {
    const channel = Math.floor(i / area);
    return Math.min(255, Math.max(0, Math.round((value * (std[channel] as number) + (mean[channel] as number)) * 255)));
  });
}
