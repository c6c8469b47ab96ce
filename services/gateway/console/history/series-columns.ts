/**
 * The curves of a run that is too long to read step by step: thinned by the trainer for the part that is shown, with the steps since then behind them.
 */

import type { GetRunSeriesResponse } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import { lowerBound, type Points } from '../series/downsample.js';
import type { ColumnName, StepColumns } from './step-columns.js';

const metrics: Record<ColumnName, string> = {
  loss: 'STEP_METRIC_LOSS',
  lr: 'STEP_METRIC_LR',
  dropRate: 'STEP_METRIC_DROP_RATE',
  weightDecay: 'STEP_METRIC_WEIGHT_DECAY',
  gradNorm: 'STEP_METRIC_GRAD_NORM',
  classAcc: 'STEP_METRIC_CLASS_ACC',
  dataWaitSeconds: 'STEP_METRIC_DATA_WAIT_SECONDS',
  stepSeconds: 'STEP_METRIC_STEP_SECONDS',
};

/** A column of `series`, without the steps that `live` has done again or since. */
export function seriesPoints({ series = [], toStep }: Json<GetRunSeriesResponse>, name: ColumnName, live: StepColumns): Points {
  const found = series.find(({ metric }) => metric === metrics[name]);
  const steps = Float64Array.from(found?.steps ?? []);
  const values = Float64Array.from(found?.values ?? [], num);
  const { steps: newer } = live;
  const first = newer[0];
  // Live steps that begin far behind the part that is shown do not belong to it.
  if (first === undefined || first > num(toStep)) return { x: steps, y: values };
  const kept = lowerBound(steps, first);
  return { x: joined(steps.subarray(0, kept), newer), y: joined(values.subarray(0, kept), live.column(name)) };
}

function joined(a: Float64Array, b: Float64Array): Float64Array {
  const all = new Float64Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
