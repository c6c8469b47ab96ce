/**
 * Schedules of drop rate, learning rate and weight decay as pure functions: they take a spec and a training length, and return closed-form segments
 * and the value at any step. No dependencies; usable in any program.
 */
export { blockRates, maxDepth } from './block-rates.js';
export {
  checkDropRate,
  checkDropSpec,
  type DropMode,
  type DropShape,
  type DropSpec,
  dropModes,
  dropRate,
  dropShapes,
} from './drop-rate.js';
export { checkLearningRate, type LearningRateSpec, learningRate, warmUpSteps } from './learning-rate.js';
export { ScheduleChecks, ScheduleError, type ScheduleViolation } from './schedule-error.js';
export { type ResolvedSchedule, type Segment, type SegmentFormula, segmentAt, valueAt } from './segments.js';
export { checkLength, microstepsPerEpoch, optimizerStep, stepsPerEpoch, type TrainingLength, totalSteps } from './training-length.js';
export { checkWeightDecay, type WeightDecaySpec, weightDecay } from './weight-decay.js';
