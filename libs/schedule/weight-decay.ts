/** The weight decay of each optimizer step (recipe §3): half a cosine without warm-up, or constant if no end value is given. */
import { ScheduleChecks } from './schedule-error.js';
import { type ResolvedSchedule, resolved } from './segments.js';
import { checkLength, type TrainingLength, totalSteps } from './training-length.js';

export interface WeightDecaySpec {
  /** At least 0; the recipe's default is 0.05. */
  readonly weightDecay: number;
  /** At least 0; the default is weightDecay. (The reference never decays if weight_decay is 0 and its end value is above 0; this library does.) */
  readonly weightDecayEnd?: number | undefined;
}

/** Fields are `weight_decay`, `weight_decay_end`, `epochs`, `steps_per_epoch`. */
export function checkWeightDecay(
  checks: ScheduleChecks,
  { weightDecay, weightDecayEnd = weightDecay }: WeightDecaySpec,
  length: TrainingLength,
): boolean {
  const before = checks.violations.length;
  checks.check(weightDecay >= 0 && Number.isFinite(weightDecay), 'weight_decay', weightDecay, 'a number of at least 0');
  checks.check(
    weightDecayEnd >= 0 && Number.isFinite(weightDecayEnd),
    'weight_decay_end',
    weightDecayEnd,
    'absent or a number of at least 0',
  );
  checkLength(checks, length);
  return checks.violations.length === before;
}

/** Resolves a spec for a training run. Throws ScheduleError with every violation. */
export function weightDecay(spec: WeightDecaySpec, length: TrainingLength): ResolvedSchedule {
  const checks = new ScheduleChecks();
  checkWeightDecay(checks, spec, length);
  checks.throwIfAny();
  const { weightDecay: from, weightDecayEnd: to = from } = spec;
  const formula = from === to ? 'constant' : 'cosine';
  return resolved([{ start: 0, end: totalSteps(length), formula, startValue: from, endValue: to }]);
}
