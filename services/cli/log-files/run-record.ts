/** Computes the lines of log.txt from a run's events with a pure fold, so that the same events always give the same lines. */
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import type { EpochRecord, EvaluationRecord, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { failureOf } from '../follow/run-progress.js';

/** Number of layers between stem and head that layer decay counts: the stem's factor is the decay to this power. */
const DECAYED_LAYERS = 13;

export interface RunRecord {
  run: string;
  parameters: number;
  stepsPerEpoch: number;
  drop: 'dropout' | 'drop_path' | undefined;
  /** Smallest learning-rate factor that layer decay gives to a parameter. */
  smallestScale: number;
  /** By epoch, from 0. If several attempts finished an epoch, the last one counts. */
  readonly epochs: Map<number, EpochRecord>;
  /** Checkpoints that could not be loaded, by the epoch (from 0) that was trained next. */
  readonly skipped: Map<number, string[]>;
  /** Those since the last resume. */
  newlySkipped: string[];
  /** By the epoch after which the checkpoint was taken. One with a result is not replaced by one that failed. */
  readonly evaluations: Map<number, Pick<EvaluationRecord, 'result' | 'failure'>>;
}

export function emptyRecord(): RunRecord {
  return {
    run: '',
    parameters: 0,
    stepsPerEpoch: 0,
    drop: undefined,
    smallestScale: 1,
    epochs: new Map(),
    skipped: new Map(),
    newlySkipped: [],
    evaluations: new Map(),
  };
}

/** The epoch (from 0) that ends at `step`, or undefined if `step` lies within an epoch. */
export function endedEpoch(record: Pick<RunRecord, 'stepsPerEpoch'>, step: bigint): number | undefined {
  const epochs = Number(step) / record.stepsPerEpoch;
  return Number.isInteger(epochs) && epochs > 0 ? epochs - 1 : undefined;
}

/** Applies one event. @returns whether the lines changed */
export function takeRecord(record: RunRecord, { event }: RunEvent): boolean {
  switch (event?.$case) {
    case 'created': {
      const { run, dropKind } = event.value;
      const spec = run?.spec;
      const drops = (spec?.dropout ?? 0) > 0 || (spec?.dropPath ?? 0) > 0 || spec?.schedule;
      record.run = run?.name ?? '';
      record.parameters = Number(run?.parameters ?? 0);
      record.stepsPerEpoch = Number(run?.stepsPerEpoch ?? 0);
      record.drop = drops ? (dropKind === DropKind.DROP_PATH ? 'drop_path' : 'dropout') : undefined;
      record.smallestScale = (spec?.layerDecay ?? 1) ** DECAYED_LAYERS;
      return false;
    }
    case 'checkpointSkipped':
      record.newlySkipped.push(`${event.value.checkpoint}: ${event.value.reason}`);
      return false;
    case 'resumed': {
      const next = Math.floor(Number(event.value.fromStep) / Math.max(1, record.stepsPerEpoch));
      if (record.newlySkipped.length > 0) record.skipped.set(next, record.newlySkipped);
      record.newlySkipped = [];
      // Epochs after the checkpoint will be trained again.
      for (const epoch of record.epochs.keys()) {
        if (BigInt(epoch + 1) * BigInt(record.stepsPerEpoch) > event.value.fromStep) record.epochs.delete(epoch);
      }
      return true;
    }
    case 'epoch':
      record.epochs.set(event.value.epoch, event.value);
      return true;
    case 'evaluation': {
      const epoch = endedEpoch(record, event.value.step);
      if (epoch === undefined) return false;
      const { result, failure } = event.value;
      if (result?.weights === undefined && record.evaluations.get(epoch)?.result !== undefined) return false;
      record.evaluations.set(epoch, { result: result?.weights && result, failure: failureOf({ result, failure }) });
      return true;
    }
    default:
      return false;
  }
}

/**
 * The content of log.txt in the reference's format: one JSON object per epoch, in order. If checkpoints could not be loaded before an epoch, its line
 * has `skipped_checkpoints` with their names and the reasons. If the evaluation after an epoch failed, the line has `test_failure` with the reason in
 * place of the scores.
 */
export function logLines(record: RunRecord): string[] {
  return [...record.epochs.values()]
    .sort((a, b) => a.epoch - b.epoch)
    .map((epoch) => {
      const skipped = record.skipped.get(epoch.epoch);
      const { result, failure = '' } = record.evaluations.get(epoch.epoch) ?? {};
      const { weights, ema } = result ?? {};
      return JSON.stringify({
        train_lr: epoch.trainLr,
        train_min_lr: epoch.trainLr * record.smallestScale,
        train_loss: epoch.trainLoss,
        ...(epoch.trainClassAcc !== undefined && { train_class_acc: epoch.trainClassAcc }),
        train_weight_decay: epoch.trainWeightDecay,
        ...(record.drop && { [`train_${record.drop}`]: epoch.trainDropRate }),
        train_grad_norm: epoch.trainGradNorm,
        ...(weights && { test_loss: weights.loss, test_acc1: weights.top1, test_acc5: weights.top5 }),
        ...(skipped && { skipped_checkpoints: skipped }),
        ...(failure !== '' && { test_failure: failure }),
        epoch: epoch.epoch,
        n_parameters: record.parameters,
        ...(ema && { test_loss_ema: ema.loss, test_acc1_ema: ema.top1, test_acc5_ema: ema.top5 }),
      });
    });
}
