/** Renders images of a batch as PNG files, as training sees them: erased and mixed, but not normalised. */
import { finishPlanOf } from '#data/client/batch.js';
import type { SlotMix } from '#data/plan/augment/mix-plan.js';
import { normalisation } from '#data/plan/augment/transform.js';
import type { PlannedSample } from '#data/plan/batch-plan.js';
import { finishBatch } from '#native/pixels.js';
import { BatchHeader, type PreviewImage } from '#protocol/dropstream/v1/data.js';
import { describeSteps } from './describe-steps.js';
import { type BatchJob, batchSample } from './make-batch.js';
import type { PngThreads } from './png-threads.js';
import { renderSamples } from './render-samples.js';

/** Largest size of the images of a page in bytes: with the texts, a page stays below the 4 MiB that clients accept by default. */
const PAGE_BYTES = 3 << 20;

type PreviewJob = Pick<BatchJob, 'planner' | 'dataset' | 'epoch' | 'index' | 'threads' | 'signal'> & { readonly pngs: PngThreads };

/** Images of a batch in slot order. */
export interface PreviewPage {
  readonly images: PreviewImage[];
  /** Slot of the first image that follows; undefined after the last one of the batch. */
  readonly next: number | undefined;
}

/** At most `limit` images from slot `from` on; fewer if they would not fit on a page. */
export async function previewBatch(job: PreviewJob, from: number, limit: number): Promise<PreviewPage> {
  const { planner, dataset, epoch, index, threads, signal, pngs } = job;
  const { transform } = planner.plan;
  const size = transform.inputSize;
  const plan = planner.batch(epoch, index);
  // Only the shown slots and their partners are rendered.
  const slots = plan.samples.length;
  const shown = Array.from({ length: Math.max(0, Math.min(limit, slots - from)) }, (_, i) => from + i);
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
  // The noise of an erased box is that of the image's slot in the batch, and not of its row here.
  const whole = finishPlanOf(header);
  const finish = { ...whole, samples: whole.samples.map((sample, at) => ({ ...sample, slot: needed[at] as number })) };
  const values = new Float32Array(pixels.length);
  await finishBatch(pixels, samples.length, size, finish, values, threads === undefined ? {} : { threads });

  const name = (at: number) => dataset.manifest.classes[samples[at]?.label ?? 0] ?? '';
  const images: PreviewImage[] = [];
  const area = size * size;
  let bytes = 0;
  for (const at of shown.keys()) {
    const own = values.subarray(at * 3 * area, (at + 1) * 3 * area);
    const png = await pngs.encode({ values: own, size, mean: [...mean], std: [...std] }, signal);
    bytes += png.byteLength;
    if (bytes > PAGE_BYTES && images.length > 0) break;
    const { sample, plan: done } = samples[at] as PlannedSample;
    const mix = mixes[at] ?? null;
    const steps = describeSteps(done, mix, size, { own: name(at), partner: mix ? name(mix.partner) : '' });
    images.push({ sample: BigInt(sample), className: name(at), png, steps });
  }
  const next = from + images.length;
  return { images, next: next < slots ? next : undefined };
}
