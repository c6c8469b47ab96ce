/** A received batch, and how its header describes the finishing steps. */
import type { FinishPlan } from '#native/pixels.js';
import { type BatchHeader, PixelFormat } from '#protocol/dropstream/v1/data.js';
import { eraseModes } from '#spec/words.js';
import type { SpanContext } from '#telemetry/tracing.js';
import { softTargets } from '../plan/augment/mix-plan.js';

export interface Batch {
  readonly epoch: number;
  readonly index: number;
  readonly header: BatchHeader;
  /** As header.format says: uint8 CHW pixels, or finished images followed by float32 targets. Checked against header.payloadSha256. */
  readonly payload: Uint8Array;
  /** The span of its fetching, if that was recorded. */
  readonly span?: SpanContext | undefined;
  /** Optional: returns the payload's memory for reuse by a later batch. The payload must not be used afterwards. */
  release(): void;
}

/** Bytes of one channel value. */
const bytesPerValue = (format: PixelFormat): number => (format === PixelFormat.FLOAT32 ? 4 : format === PixelFormat.BFLOAT16 ? 2 : 1);

/** Bytes of a batch's payload: the images and, for finished formats, the soft targets. */
export function payloadBytes(format: PixelFormat, slots: number, size: number, classes: number): number {
  const images = slots * 3 * size * size * bytesPerValue(format);
  return format === PixelFormat.UINT8 || format === PixelFormat.UNSPECIFIED ? images : images + slots * classes * 4;
}

/** The steps that finishBatch applies to the pixels of a UINT8 batch: normalise, erase, mix. */
export function finishPlanOf(header: BatchHeader): FinishPlan {
  return {
    mean: triple(header.mean),
    std: triple(header.std),
    samples: header.samples.map(({ erase, mix }, slot) => ({
      erase: erase.map(({ top, left, height, width, mode, key, box }) => ({
        top,
        left,
        height,
        width,
        mode: eraseModes.wordOf(mode),
        key: [Number(key & 0xffffffffn), Number(key >> 32n)],
        box,
      })),
      mix: mix
        ? {
            lambda: mix.lambda,
            partner: mix.partner,
            box: mix.cutmix ? { top: mix.top, left: mix.left, height: mix.height, width: mix.width } : null,
          }
        : { lambda: 1, partner: slot, box: null },
    })),
  };
}

/** Soft targets [slots, classes] of a batch; `smoothing` defaults to that of the plan. */
export function softTargetsOf(header: BatchHeader, smoothing: number = header.smoothing): Float32Array {
  const labels = header.samples.map(({ label }) => label);
  const mix = header.samples.map((sample) => (sample.mix ? { lambda: sample.mix.lambda, partner: sample.mix.partner, box: null } : null));
  return softTargets(labels, mix, header.classes, smoothing);
}

function triple(values: readonly number[]): [number, number, number] {
  const [r, g, b] = values;
  if (r === undefined || g === undefined || b === undefined) throw new RangeError(`a header with ${values.length} channels, must be 3`);
  return [r, g, b];
}
