/** The learning rate of each optimizer step (recipe §3): linear warm-up from 0, then half a cosine towards min_lr. */
import { ScheduleChecks } from './schedule-error.js';
import { type ResolvedSchedule, resolved } from './segments.js';
import { checkLength, type TrainingLength, totalSteps } from './training-length.js';

export interface LearningRateSpec {
  /** Peak learning rate, at least 0; never scaled. The recipe's default is 4e-3, for a total batch of 4096. */
  readonly lr: number;
  /** Limit of the cosine, which no step quite reaches; default 1e-6. */
  readonly minLr?: number;
  /** Default 50. */
  readonly warmupEpochs?: number;
  /** If above 0, replaces warmupEpochs; default −1. (The reference ignores it unless warmup_epochs > 0.) */
  readonly warmupSteps?: number;
}

/** W, the number of warm-up steps. */
export function warmUpSteps({ warmupEpochs = 50, warmupSteps = -1 }: LearningRateSpec, { stepsPerEpoch }: TrainingLength): number {
  return warmupSteps > 0 ? warmupSteps : warmupEpochs * stepsPerEpoch;
}

/** Fields are `lr`, `min_lr`, `warmup_epochs`, `warmup_steps`, `epochs`, `steps_per_epoch`. */
export function checkLearningRate(checks: ScheduleChecks, spec: LearningRateSpec, length: TrainingLength): boolean {
  const { lr, minLr = 1e-6, warmupEpochs = 50, warmupSteps = -1 } = spec;
  const before = checks.violations.length;
  checks.check(lr >= 0 && Number.isFinite(lr), 'lr', lr, 'a number of at least 0');
  checks.check(minLr >= 0 && Number.isFinite(minLr), 'min_lr', minLr, 'a number of at least 0');
  const warm = checks.integer('warmup_epochs', warmupEpochs, 0, 100_000);
  const steps = checks.integer('warmup_steps', warmupSteps, -1, Number.MAX_SAFE_INTEGER);
  if (checkLength(checks, length) && warm && steps) {
    const total = totalSteps(length);
    const w = warmUpSteps(spec, length);
    const [field, value] = warmupSteps > 0 ? (['warmup_steps', warmupSteps] as const) : (['warmup_epochs', warmupEpochs] as const);
    checks.check(w <= total, field, value, `no longer than the training: its warm-up has ${w} steps, the training ${total}`);
  }
  return checks.violations.length === before;
}

/** Resolves a spec for a training run. Throws ScheduleError with every violation. */
export function learningRate(spec: LearningRateSpec, length: TrainingLength): ResolvedSchedule {
  const checks = new ScheduleChecks();
  checkLearningRate(checks, spec, length);
  checks.throwIfAny();
  const total = totalSteps(length);
  const w = warmUpSteps(spec, length);
  const { lr, minLr = 1e-6 } = spec;
  return resolved([
    // A warm-up of one step has the value 0.
    { start: 0, end: w, formula: 'linear_warm_up', startValue: 0, endValue: w === 1 ? 0 : lr },
    { start: w, end: total, formula: 'cosine', startValue: lr, endValue: minLr },
  ]);
}
