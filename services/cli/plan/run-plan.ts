/** What a run would do, worked out from its resolved spec: lengths, batch and curves. Pure. */
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { learningRate, type Segment, segmentAt, valueAt, weightDecay } from '#schedule/index.js';
import { segmentOf } from '#spec/drop-schedules.js';
import { totalBatch } from '../total-batch.js';

export interface Curve {
  readonly name: 'drop' | 'learning rate' | 'weight decay';
  /** Over the whole training, without gaps. */
  readonly segments: readonly Segment[];
  /** Values at steps that lie evenly from the first to the last. */
  readonly samples: readonly { readonly step: number; readonly value: number }[];
}

export interface RunPlan {
  readonly model: string;
  readonly parameters: number;
  readonly epochs: number;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** Images in a micro-batch, which are mixed together. */
  readonly batchSize: number;
  /** Micro-batches in a step: update_freq of each of `world` processes. */
  readonly microBatches: number;
  readonly world: number;
  readonly totalBatch: number;
  /** dropout or drop_path; undefined where nothing is dropped. */
  readonly drops: 'dropout' | 'drop_path' | undefined;
  readonly curves: readonly Curve[];
}

/** @param run as CreateRun answers it: every default is filled in. @param points samples of each curve, at least 2 */
export function runPlan(run: Run, world: number, points = 32): RunPlan {
  const { spec } = run;
  if (spec === undefined) throw new RangeError('run: it has no spec');
  const { batchSize = 64, updateFreq = 1, epochs = 300, lr = 4e-3, minLr, warmupEpochs, warmupSteps, dropPath = 0, dropout = 0 } = spec;
  const [stepsPerEpoch, totalSteps] = [Number(run.stepsPerEpoch), Number(run.totalSteps)];
  const length = { epochs, stepsPerEpoch };
  const peak = {
    lr,
    ...(minLr !== undefined && { minLr }),
    ...(warmupEpochs !== undefined && { warmupEpochs }),
    ...(warmupSteps !== undefined && { warmupSteps: Number(warmupSteps) }),
  };
  const curve = (name: Curve['name'], segments: readonly Segment[]): Curve => {
    const steps = Array.from({ length: points }, (_, k) => Math.round((k * (totalSteps - 1)) / (points - 1)));
    return { name, segments, samples: steps.map((step) => ({ step, value: valueAt(segmentAt(segments, step), step) })) };
  };
  return {
    model: spec.model,
    parameters: Number(run.parameters),
    epochs,
    stepsPerEpoch,
    totalSteps,
    batchSize,
    microBatches: updateFreq,
    world,
    totalBatch: totalBatch({ batchSize, updateFreq, world: 1 }),
    drops: dropPath > 0 ? 'drop_path' : dropout > 0 ? 'dropout' : undefined,
    curves: [
      curve('drop', run.dropSegments.map(segmentOf)),
      curve('learning rate', learningRate(peak, length).segments),
      curve('weight decay', weightDecay({ weightDecay: spec.weightDecay ?? 0.05, weightDecayEnd: spec.weightDecayEnd }, length).segments),
    ],
  };
}
