/** What is wrong with a drop schedule or a training length in a request, and what a sound pair comes to. */

import type { Violations } from '#errors/errors.js';
import { DropKind, type DropScheduleSpec, type TrainingLength } from '#protocol/dropstream/v1/schedule_types.js';
import { blockRates, checkDropRate, checkLength, dropRate, maxDepth, type ResolvedSchedule, ScheduleChecks } from '#schedule/index.js';
import { addScheduleViolations, dropSpecOf } from '#spec/drop-schedules.js';

/** The training in field `length`; undefined, with violations collected, where it cannot be. */
export function checkTraining(violations: Violations, length: TrainingLength | undefined): TrainingLength | undefined {
  if (length === undefined) {
    violations.add('length', undefined, 'given');
    return undefined;
  }
  const checks = new ScheduleChecks();
  checkLength(checks, length);
  checks.integer('depth', length.depth, 0, maxDepth);
  addScheduleViolations(violations, checks, 'length');
  return checks.violations.length === 0 ? length : undefined;
}

/** Whether a checked spec fits the training: the cutoff within its epochs. */
export function checkFit(violations: Violations, spec: DropScheduleSpec, length: TrainingLength, field: string): void {
  const checks = new ScheduleChecks();
  checkDropRate(checks, dropSpecOf(spec), length);
  addScheduleViolations(violations, checks, field);
}

/** @param spec checked */
export function resolve(spec: DropScheduleSpec, length: TrainingLength): ResolvedSchedule {
  return dropRate(dropSpecOf(spec), length);
}

/** The rate of each block: growing with the depth for stochastic depth, the same everywhere for dropout; none for depth 0. */
export function ratesOfBlocks(kind: DropKind, rate: number, depth: number): number[] {
  if (depth === 0) return [];
  return kind === DropKind.DROP_PATH ? Array.from(blockRates(rate, depth)) : new Array<number>(depth).fill(rate);
}
