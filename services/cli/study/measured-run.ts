/** What a report needs of one run, from its log. */
import { runEvents } from '#client/run-events.js';
import { NotFound } from '#errors/errors.js';
import { type Run, type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { shortName } from '../commands/shared-options.js';
import type { StudyPlace } from './study-runs.js';

/** What is compared. Each has a value for an epoch, and that of the last epoch is the run's. */
export const metrics = {
  train_loss: 'mean training loss of the epoch, with the dropout and augmentation of the training',
  final_train_loss:
    'cross-entropy of the last weights on the training images, without dropout, augmentation, mixing and smoothing of labels (`study evaluate`)',
  eval_loss: 'cross-entropy of the weights on the evaluation images after the epoch',
  top1: 'top-1 of the weights on the evaluation images after the epoch, in percent',
  ema_eval_loss: 'cross-entropy of the moving average on the evaluation images after the epoch',
  ema_top1: 'top-1 of the moving average on the evaluation images after the epoch, in percent',
} as const;

export type Metric = keyof typeof metrics;
export const metricNames = Object.keys(metrics) as Metric[];

export interface MeasuredRun {
  readonly run: string;
  readonly arm: string;
  readonly seed: string;
  readonly state: string;
  readonly totalSteps: number;
  /** Fingerprint of the last checkpoint; '' if the run has none, or an attempt went on with another fingerprint. */
  readonly fingerprint: string;
  /** Values by metric and epoch, from 0; only of runs that have succeeded. */
  readonly curves: Readonly<Partial<Record<Metric, readonly (number | undefined)[]>>>;
  /** What an adaptive cutoff measured, in the order of the steps; absent without one. */
  readonly cutoffMeasurements?: readonly CutoffMeasurement[];
}

/** Direction errors of the gradients at a step; absent if they could not be measured. */
export interface CutoffMeasurement {
  readonly step: number;
  readonly rate: number;
  readonly errorWithDrop?: number | undefined;
  readonly errorWithoutDrop?: number | undefined;
  /** First step without drop, if this measurement ended it. */
  readonly endsAtStep?: number;
}

/** Reads the log of a run that has succeeded; of others, only the state. */
export async function measureRun(run: Run, { client, call }: StudyPlace): Promise<MeasuredRun> {
  const measured = {
    run: shortName(run.name),
    arm: run.labels.arm ?? '',
    seed: run.labels.seed ?? '',
    state: RunState[run.state],
    totalSteps: Number(run.totalSteps),
  };
  if (run.state !== RunState.SUCCEEDED) return { ...measured, fingerprint: '', curves: {} };
  const { latestCheckpoint: name } = run;
  // With `save_ckpt: false` there is none.
  const checkpoint =
    name === ''
      ? undefined
      : await client.getCheckpoint({ name, urlExpirySeconds: 0 }, call).catch((error: unknown) => {
          if (error instanceof NotFound) return undefined;
          throw error;
        });
  const curves = new Curves(Number(run.stepsPerEpoch));
  for await (const event of runEvents(client, run.name, { uid: run.uid, signal: call.signal })) curves.take(event);
  const fingerprint = curves.fingerprintChanged ? '' : (checkpoint?.checkpoint?.fingerprint ?? '');
  const { measurements } = curves;
  return { ...measured, fingerprint, curves: curves.values, ...(measurements.length > 0 && { cutoffMeasurements: measurements }) };
}

/** The same run with the loss of its last weights on the training images, which is a value of the last epoch. */
export function withFinalLoss(measured: MeasuredRun, loss: number | undefined): MeasuredRun {
  const epochs = measured.curves.train_loss?.length ?? 0;
  if (loss === undefined || epochs === 0) return measured;
  const values = Array.from({ length: epochs }, (_, epoch) => (epoch === epochs - 1 ? loss : undefined));
  return { ...measured, curves: { ...measured.curves, final_train_loss: values } };
}

/** A fold over the events. What is done again after a resume replaces what was there. */
export class Curves {
  readonly values: Partial<Record<Metric, (number | undefined)[]>> = {};
  fingerprintChanged = false;
  readonly #measurements = new Map<number, CutoffMeasurement>();

  constructor(private readonly stepsPerEpoch: number) {}

  get measurements(): readonly CutoffMeasurement[] {
    return [...this.#measurements.values()].sort((a, b) => a.step - b.step);
  }

  take({ event }: RunEvent): void {
    if (event?.$case === 'cutoffMeasured') {
      const { step, dropRate: rate, errorWithDrop, errorWithoutDrop, endsAtStep } = event.value;
      const ends = endsAtStep > 0n && { endsAtStep: Number(endsAtStep) };
      this.#measurements.set(Number(step), { step: Number(step), rate, errorWithDrop, errorWithoutDrop, ...ends });
    }
    if (event?.$case === 'epoch') this.#set('train_loss', event.value.epoch, event.value.trainLoss);
    if (event?.$case === 'resumed') this.fingerprintChanged ||= event.value.fingerprintChanged;
    if (event?.$case !== 'evaluation' || event.value.result === undefined) return;
    const epoch = Number(event.value.step) / this.stepsPerEpoch - 1;
    if (!Number.isInteger(epoch)) return;
    const { weights, ema } = event.value.result;
    this.#set('eval_loss', epoch, weights?.loss);
    this.#set('top1', epoch, weights?.top1);
    this.#set('ema_eval_loss', epoch, ema?.loss);
    this.#set('ema_top1', epoch, ema?.top1);
  }

  #set(metric: Metric, epoch: number, value: number | undefined): void {
    if (value === undefined || !Number.isFinite(value)) return;
    const values = this.values[metric] ?? [];
    this.values[metric] = values;
    while (values.length <= epoch) values.push(undefined);
    values[epoch] = value;
  }
}
