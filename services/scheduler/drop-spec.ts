/** Checks drop schedules and training lengths in requests, and resolves valid ones. */

import type { Violations } from '#errors/errors.js';
import { DropKind, type DropScheduleSpec, type TrainingLength } from '#protocol/dropstream/v1/schedule_types.js';
import { blockRates, checkDropRate, checkLength, dropRate, maxDepth, type ResolvedSchedule, ScheduleChecks } from '#schedule/index.js';
import { addScheduleViolations, dropSpecOf } from '#spec/drop-schedules.js';

/** Parses the field `length`. @returns undefined if it is not valid; the violations are collected */
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

/** Checks that the cutoff epoch of a valid spec lies within the training. */
export function checkFit(violations: Violations, spec: DropScheduleSpec, length: TrainingLength, field: string): void {
  const checks = new ScheduleChecks();
  checkDropRate(checks, dropSpecOf(spec), length);
  addScheduleViolations(violations, checks, field);
}

/** @param spec valid spec */
export function resolve(spec: DropScheduleSpec, length: TrainingLength): ResolvedSchedule {
  return dropRate(dropSpecOf(spec), length);
}

/** The rate of each block: it grows with the depth for stochastic depth and is constant for dropout. Empty for depth 0. */
export function ratesOfBlocks(kind: DropKind, rate: number, depth: number): number[] {
  if (depth === 0) return [];
  return kind === DropKind.DROP_PATH ? Array.from(blockRates(rate, depth)) : new Array<number>(depth).fill(rate);
}
