/**
 * Drop schedules in their four forms, one to the other: the proto's DropScheduleSpec, the drop options of a RunSpec, the spec of
 * libs/schedule, and the JSON of a stored revision. And segments in their two: the proto's and the library's.
 */
import { z } from 'zod';
import type { Violations } from '#errors/errors.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import {
  DropKind,
  type DropScheduleSpec,
  dropKindFromJSON,
  dropKindToJSON,
  dropModeFromJSON,
  dropModeToJSON,
  dropScheduleFromJSON,
  dropScheduleToJSON,
  type ScheduleSegment,
  SegmentFormula,
} from '#protocol/dropstream/v1/schedule_types.js';
import { checkDropSpec, type DropSpec, ScheduleChecks, type Segment } from '#schedule/index.js';
import { dropKinds, dropModes, dropSchedules } from './words.js';

/** The drop options of a run with nothing left to defaults. */
export type RunDrop = { [K in 'dropout' | 'dropPath' | 'dropMode' | 'dropSchedule' | 'cutoffEpoch']-?: NonNullable<RunSpec[K]> };

/** The library's form of a checked message. */
export function dropSpecOf({ rate, mode, schedule, cutoffEpoch }: Omit<DropScheduleSpec, 'kind'>): DropSpec {
  return { rate, mode: dropModes.wordOf(mode), schedule: dropSchedules.wordOf(schedule), cutoffEpoch };
}

/** The library names arguments as the command line does; in the proto they are fields of the spec. */
const protoFields: Readonly<Record<string, string>> = { drop_mode: 'mode', drop_schedule: 'schedule' };

/** What the library refused, as violations of the message at `field`. */
export function addScheduleViolations(violations: Violations, checks: ScheduleChecks, field: string): void {
  violations.addAll(
    checks.violations.map((v) => ({ ...v, field: protoFields[v.field] ?? v.field })),
    `${field}.`,
  );
}

/** The message at `field` with every value that UNSPECIFIED stands for; undefined, with violations added, where it cannot be. */
export function checkDropSchedule(
  violations: Violations,
  message: DropScheduleSpec | undefined,
  field: string,
): DropScheduleSpec | undefined {
  if (message === undefined) {
    violations.add(field, undefined, 'given');
    return undefined;
  }
  const before = violations.list.length;
  const { rate, cutoffEpoch } = message;
  const kind = dropKinds.read(violations, `${field}.kind`, message.kind);
  const mode = dropModes.read(violations, `${field}.mode`, message.mode);
  const schedule = dropSchedules.read(violations, `${field}.schedule`, message.schedule);
  const checks = new ScheduleChecks();
  checkDropSpec(checks, { rate, mode, schedule, cutoffEpoch });
  addScheduleViolations(violations, checks, field);
  if (violations.list.length > before) return undefined;
  return {
    kind: dropKinds.fromWord(kind),
    rate,
    mode: dropModes.fromWord(mode),
    schedule: dropSchedules.fromWord(schedule),
    cutoffEpoch,
  };
}

/** The drop options that a schedule stands for, with nothing left UNSPECIFIED. @throws RangeError for values of a newer release */
export function runDropOf({ kind, rate, mode, schedule, cutoffEpoch }: DropScheduleSpec): RunDrop {
  const path = dropKinds.wordOf(kind) === 'drop_path';
  return {
    dropout: path ? 0 : rate,
    dropPath: path ? rate : 0,
    dropMode: dropModes.fromWord(dropModes.wordOf(mode)),
    dropSchedule: dropSchedules.fromWord(dropSchedules.wordOf(schedule)),
    cutoffEpoch,
  };
}

/** The schedule that a run's drop options stand for. */
export function dropScheduleOf({ dropout, dropPath, dropMode, dropSchedule, cutoffEpoch }: RunDrop): DropScheduleSpec {
  const path = dropPath > 0;
  return {
    kind: path ? DropKind.DROP_PATH : DropKind.DROPOUT,
    rate: path ? dropPath : dropout,
    mode: dropMode,
    schedule: dropSchedule,
    cutoffEpoch,
  };
}

/** The JSON of a stored schedule. */
export const storedDropSchedule = z.strictObject({
  kind: z.enum(dropKinds.names),
  rate: z.number(),
  mode: z.enum(dropModes.names),
  schedule: z.enum(dropSchedules.names),
  cutoff_epoch: z.number().int(),
});
export type StoredDropSchedule = z.output<typeof storedDropSchedule>;

export function toStored({ kind, rate, mode, schedule, cutoffEpoch }: DropScheduleSpec): StoredDropSchedule {
  return {
    kind: dropKindToJSON(kind),
    // −0 would not survive JSON.
    rate: rate === 0 ? 0 : rate,
    mode: dropModeToJSON(mode),
    schedule: dropScheduleToJSON(schedule),
    cutoff_epoch: cutoffEpoch,
  };
}

export function fromStored({ kind, rate, mode, schedule, cutoff_epoch }: StoredDropSchedule): DropScheduleSpec {
  return {
    kind: dropKindFromJSON(kind),
    rate,
    mode: dropModeFromJSON(mode),
    schedule: dropScheduleFromJSON(schedule),
    cutoffEpoch: cutoff_epoch,
  };
}

/** Formulas that a drop schedule can have. */
const formulas = [
  ['constant', SegmentFormula.CONSTANT],
  ['linear_to_zero', SegmentFormula.LINEAR_TO_ZERO],
] as const;

/** @throws RangeError for a formula that only other curves have */
export function segmentMessage({ start, end, formula, startValue, endValue }: Segment): ScheduleSegment {
  const found = formulas.find(([word]) => word === formula);
  if (found === undefined) throw new RangeError(`formula is ${formula}, must be one of ${formulas.map(([word]) => word).join(', ')}`);
  return { start: BigInt(start), end: BigInt(end), formula: found[1], startValue, endValue };
}

/** @throws RangeError for a formula that this release does not know */
export function segmentOf({ start, end, formula, startValue, endValue }: ScheduleSegment): Segment {
  const found = formulas.find(([, value]) => value === formula);
  if (found === undefined) throw new RangeError(`formula is ${formula}, must be one of ${formulas.map(([, v]) => v).join(', ')}`);
  return { start: Number(start), end: Number(end), formula: found[0], startValue, endValue };
}
