/** Drop-rate schedules (recipe §2): standard, early and late, constant or linear. */
import { ScheduleChecks } from './schedule-error.js';
import { type ResolvedSchedule, resolved, type Segment } from './segments.js';
import { checkLength, type TrainingLength, totalSteps } from './training-length.js';

export type DropMode = 'standard' | 'early' | 'late';
export type DropShape = 'constant' | 'linear';

export const dropModes: readonly DropMode[] = ['standard', 'early', 'late'];
export const dropShapes: readonly DropShape[] = ['constant', 'linear'];

/** A drop schedule without the length of the training run. */
export interface DropSpec {
  /** Peak rate, in [0, 1). */
  readonly rate: number;
  /** Default standard. */
  readonly mode?: DropMode;
  /** Default constant. `linear` falls to 0 over the active part; not allowed with late, ignored with standard. */
  readonly schedule?: DropShape;
  /** Epoch at which early drop ends or late drop begins, 0 to epochs; ignored with standard. Default 0. */
  readonly cutoffEpoch?: number;
}

/** Checks a spec as far as possible without the length of the training run. */
export function checkDropSpec(checks: ScheduleChecks, spec: DropSpec): boolean {
  const { rate, mode = 'standard', schedule = 'constant', cutoffEpoch = 0 } = spec;
  const before = checks.violations.length;
  checks.check(rate >= 0 && rate < 1, 'rate', rate, 'a number of at least 0 and below 1');
  checks.check(dropModes.includes(mode), 'drop_mode', mode, `one of ${dropModes.join(', ')}`);
  checks.check(dropShapes.includes(schedule), 'drop_schedule', schedule, `one of ${dropShapes.join(', ')}`);
  checks.integer('cutoff_epoch', cutoffEpoch, 0, 100_000);
  checks.check(!(mode === 'late' && schedule === 'linear'), 'drop_schedule', schedule, 'constant with drop_mode late');
  return checks.violations.length === before;
}

/** Checks a spec for a training run. Fields are `rate`, `drop_mode`, `drop_schedule`, `cutoff_epoch`, `epochs`, `steps_per_epoch`. */
export function checkDropRate(checks: ScheduleChecks, spec: DropSpec, length: TrainingLength): boolean {
  const specOk = checkDropSpec(checks, spec);
  const lengthOk = checkLength(checks, length);
  if (!specOk || !lengthOk) return false;
  const { mode = 'standard', cutoffEpoch = 0 } = spec;
  return checks.check(
    mode === 'standard' || cutoffEpoch <= length.epochs,
    'cutoff_epoch',
    cutoffEpoch,
    `at most the ${length.epochs} epochs of the training`,
  );
}

/** Resolves a spec for a training run. Throws ScheduleError with every violation. */
export function dropRate(spec: DropSpec, length: TrainingLength): ResolvedSchedule {
  const checks = new ScheduleChecks();
  checkDropRate(checks, spec, length);
  checks.throwIfAny();
  const { rate, mode = 'standard', schedule = 'constant', cutoffEpoch = 0 } = spec;
  const total = totalSteps(length);
  const cutoff = cutoffEpoch * length.stepsPerEpoch;
  const constant = (start: number, end: number, value: number): Segment => ({
    start,
    end,
    formula: 'constant',
    startValue: value,
    endValue: value,
  });

  // At rate 0, all modes are the same: constant 0.
  if (rate === 0) return resolved([constant(0, total, 0)]);
  if (mode === 'standard') return resolved([constant(0, total, rate)]);
  if (mode === 'late') return resolved([constant(0, cutoff, 0), constant(cutoff, total, rate)]);
  if (schedule === 'constant') return resolved([constant(0, cutoff, rate), constant(cutoff, total, 0)]);
  const endValue = cutoff === 1 ? rate : 0;
  return resolved([{ start: 0, end: cutoff, formula: 'linear_to_zero', startValue: rate, endValue }, constant(cutoff, total, 0)]);
}
