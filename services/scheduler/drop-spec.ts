/** The proto's drop schedule and the library's, one to the other, and what is wrong with a spec or a training length. */

import type { Violations } from '#errors/errors.js';
import {
  DropKind,
  DropMode,
  DropSchedule,
  type DropScheduleSpec,
  type ScheduleSegment,
  SegmentFormula,
  type TrainingLength,
} from '#protocol/dropstream/v1/schedule_types.js';
import {
  blockRates,
  checkDropRate,
  checkDropSpec,
  checkLength,
  type DropMode as DropModeName,
  type DropShape,
  type DropSpec,
  dropRate,
  maxDepth,
  type ResolvedSchedule,
  ScheduleChecks,
  type Segment,
} from '#schedule/index.js';

const modeNames: Partial<Record<DropMode, DropModeName>> = {
  [DropMode.UNSPECIFIED]: 'standard',
  [DropMode.STANDARD]: 'standard',
  [DropMode.EARLY]: 'early',
  [DropMode.LATE]: 'late',
};
const shapeNames: Partial<Record<DropSchedule, DropShape>> = {
  [DropSchedule.UNSPECIFIED]: 'constant',
  [DropSchedule.CONSTANT]: 'constant',
  [DropSchedule.LINEAR]: 'linear',
};
const kinds = [DropKind.UNSPECIFIED, DropKind.DROPOUT, DropKind.DROP_PATH];

/** The library names arguments as the command line does; in the proto they are fields of the spec. */
const protoFields: Readonly<Record<string, string>> = { drop_mode: 'mode', drop_schedule: 'schedule' };

/** A checked spec, with the enum values that UNSPECIFIED stands for. */
export interface CheckedSpec {
  readonly spec: DropScheduleSpec;
  readonly drop: DropSpec;
}

/** A spec at `field`; undefined, with violations collected, where it cannot be. */
export function checkSpec(violations: Violations, spec: DropScheduleSpec | undefined, field: string): CheckedSpec | undefined {
  if (spec === undefined) {
    violations.add(field, undefined, 'given');
    return undefined;
  }
  const mode = modeNames[spec.mode];
  const schedule = shapeNames[spec.schedule];
  const known = [
    violations.check(kinds.includes(spec.kind), `${field}.kind`, spec.kind, 'DROP_KIND_DROPOUT or DROP_KIND_DROP_PATH'),
    violations.check(mode !== undefined, `${field}.mode`, spec.mode, 'DROP_MODE_STANDARD, DROP_MODE_EARLY or DROP_MODE_LATE'),
    violations.check(schedule !== undefined, `${field}.schedule`, spec.schedule, 'DROP_SCHEDULE_CONSTANT or DROP_SCHEDULE_LINEAR'),
  ];
  const drop: DropSpec = { rate: spec.rate, cutoffEpoch: spec.cutoffEpoch, ...(mode && { mode }), ...(schedule && { schedule }) };
  const checks = new ScheduleChecks();
  checkDropSpec(checks, drop);
  collect(violations, checks, field);
  if (known.includes(false) || checks.violations.length > 0) return undefined;
  return {
    drop,
    spec: {
      ...spec,
      kind: spec.kind === DropKind.UNSPECIFIED ? DropKind.DROPOUT : spec.kind,
      mode: spec.mode === DropMode.UNSPECIFIED ? DropMode.STANDARD : spec.mode,
      schedule: spec.schedule === DropSchedule.UNSPECIFIED ? DropSchedule.CONSTANT : spec.schedule,
    },
  };
}

/** The training in field `length`; undefined, with violations collected, where it cannot be. */
export function checkTraining(violations: Violations, length: TrainingLength | undefined): TrainingLength | undefined {
  if (length === undefined) {
    violations.add('length', undefined, 'given');
    return undefined;
  }
  const checks = new ScheduleChecks();
  checkLength(checks, length);
  checks.integer('depth', length.depth, 0, maxDepth);
  collect(violations, checks, 'length');
  return checks.violations.length === 0 ? length : undefined;
}

/** Whether the spec fits the training: the cutoff within its epochs. */
export function checkFit(violations: Violations, drop: DropSpec, length: TrainingLength, field: string): void {
  const checks = new ScheduleChecks();
  checkDropRate(checks, drop, length);
  collect(violations, checks, field);
}

export function resolve(drop: DropSpec, length: TrainingLength): ResolvedSchedule {
  return dropRate(drop, length);
}

const formulas: Partial<Record<Segment['formula'], SegmentFormula>> = {
  constant: SegmentFormula.CONSTANT,
  linear_to_zero: SegmentFormula.LINEAR_TO_ZERO,
};

export function protoSegment({ start, end, formula, startValue, endValue }: Segment): ScheduleSegment {
  return { start: BigInt(start), end: BigInt(end), formula: formulas[formula] ?? SegmentFormula.UNSPECIFIED, startValue, endValue };
}

/** The rate of each block: growing with the depth for stochastic depth, the same everywhere for dropout; none for depth 0. */
export function ratesOfBlocks(kind: DropKind, rate: number, depth: number): number[] {
  if (depth === 0) return [];
  return kind === DropKind.DROP_PATH ? Array.from(blockRates(rate, depth)) : new Array<number>(depth).fill(rate);
}

function collect(violations: Violations, checks: ScheduleChecks, field: string): void {
  violations.addAll(
    checks.violations.map((v) => ({ ...v, field: protoFields[v.field] ?? v.field })),
    `${field}.`,
  );
}
