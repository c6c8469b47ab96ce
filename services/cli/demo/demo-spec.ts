/**
 * The spec that the demo trains. Its settings were chosen on held-out training images (every tenth one; `demo --validation`), never on the
 * test images.
 */
import type { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';

export interface DemoSize {
  readonly epochs: number;
  /** Number of training images that the run uses. */
  readonly samples: number;
  readonly trainManifest: string;
  /** '' if the run's checkpoints are not evaluated. */
  readonly evalManifest: string;
  /** Every n-th training image is held out; 0: none. */
  readonly holdoutStride: number;
  /** Default: native. */
  readonly engine?: Engine | undefined;
}

const BATCH = 64;
const WARMUP_SHARE = 0.1;
/** Fraction of the epochs that have dropout. */
const EARLY_SHARE = 0.5;

export function demoSpec({ epochs, samples, trainManifest, evalManifest, holdoutStride, engine }: DemoSize): RunSpec {
  const steps = epochs * Math.floor(samples / BATCH);
  return RunSpec.fromPartial({
    model: 'vit_nano_p7',
    inputSize: 28,
    trainManifest,
    evalManifest,
    batchSize: BATCH,
    epochs,
    lr: 3e-3,
    minLr: 1e-6,
    weightDecay: 0.05,
    warmupEpochs: 0,
    warmupSteps: BigInt(Math.max(1, Math.round(WARMUP_SHARE * steps))),
    // Early dropout starts at 0.1 and falls to 0 over the first half.
    dropout: 0.1,
    dropMode: DropMode.EARLY,
    dropSchedule: DropSchedule.LINEAR,
    cutoffEpoch: Math.max(1, Math.floor(EARLY_SHARE * epochs)),
    // Only flips are useful, because all images show upright, centred clothes in 28 x 28 gray pixels.
    aa: '',
    colorJitter: 0,
    reprob: 0,
    mixup: 0,
    cutmix: 0,
    cropPadding: 0,
    smoothing: 0,
    imagenetDefaultMeanAndStd: false,
    saveCkptFreq: 1,
    saveCkptSeconds: 0,
    holdoutStride,
    ...(engine !== undefined && { engine }),
  });
}
