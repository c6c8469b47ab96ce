/** A drop schedule while it is edited, and what it gives for a training of some length. */
import type { DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { type DropMode, type DropShape, dropRate, ScheduleError } from '#schedule/index.js';
import { enumWord } from '#spec/json-words.js';
import type { Json } from '../api/json.js';
import type { Line } from '../chart/plot-data.js';

export interface Draft {
  readonly kind: 'dropout' | 'drop_path';
  readonly rate: number;
  readonly mode: DropMode;
  readonly schedule: DropShape;
  readonly cutoffEpoch: number;
}

export const firstDraft: Draft = { kind: 'dropout', rate: 0.1, mode: 'early', schedule: 'linear', cutoffEpoch: 50 };

export function draftOf(spec: Json<DropScheduleSpec> = {}): Draft {
  return {
    kind: enumWord(spec.kind) === 'drop_path' ? 'drop_path' : 'dropout',
    rate: spec.rate ?? 0,
    mode: (['early', 'late'] as const).find((mode) => mode === enumWord(spec.mode)) ?? 'standard',
    schedule: enumWord(spec.schedule) === 'linear' ? 'linear' : 'constant',
    cutoffEpoch: spec.cutoffEpoch ?? 0,
  };
}

export const specOfDraft = ({ kind, rate, mode, schedule, cutoffEpoch }: Draft): Json<DropScheduleSpec> => ({
  kind: `DROP_KIND_${kind.toUpperCase()}`,
  rate,
  mode: `DROP_MODE_${mode.toUpperCase()}`,
  schedule: `DROP_SCHEDULE_${schedule.toUpperCase()}`,
  cutoffEpoch,
});

/** What is wrong with the draft for a training of `epochs`; '' if nothing is. */
export function problemOf(draft: Draft, epochs: number): string {
  try {
    dropRate(draft, { epochs, stepsPerEpoch: 1 });
    return '';
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    return error.message;
  }
}

/** Fine enough for a curve by epochs, whatever the steps of an epoch are. */
const STEPS_PER_EPOCH = 10;

/** The curve of a draft over epochs. */
export function draftLine(draft: Draft, epochs: number, label: string, color: number): Line[] {
  if (problemOf(draft, epochs) !== '') return [];
  const points = dropRate(draft, { epochs, stepsPerEpoch: STEPS_PER_EPOCH }).segments.flatMap(({ start, end, startValue, endValue }) => [
    [start / STEPS_PER_EPOCH, startValue] as const,
    [end / STEPS_PER_EPOCH, endValue] as const,
  ]);
  // Two segments meet at an epoch with two values, of which a curve can draw only one at one place.
  const x = Float64Array.from(points, ([epoch], k) => (k > 0 && points[k - 1]![0] === epoch ? epoch + 1e-6 : epoch));
  return [{ label, color, x, y: Float64Array.from(points, ([, rate]) => rate) }];
}

/** `early, linear to epoch 50`. */
export function draftText({ kind, rate, mode, schedule, cutoffEpoch }: Draft): string {
  if (rate === 0) return 'nothing is dropped';
  const what = kind === 'drop_path' ? 'stochastic depth' : 'dropout';
  if (mode === 'standard') return `${what} ${rate} always`;
  if (mode === 'late') return `${what} ${rate} from epoch ${cutoffEpoch} on`;
  return schedule === 'linear' ? `${what} from ${rate} to 0 at epoch ${cutoffEpoch}` : `${what} ${rate} until epoch ${cutoffEpoch}`;
}

/** The rate at a step of a training. */
export function rateAt(
  draft: Draft,
  step: number,
  length: { readonly epochs: number; readonly stepsPerEpoch: number },
): number | undefined {
  if (problemOf(draft, length.epochs) !== '') return undefined;
  const total = length.epochs * length.stepsPerEpoch;
  return dropRate(draft, length).at(Math.max(0, Math.min(total - 1, step)));
}
