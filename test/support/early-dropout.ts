import { DropKind, DropMode, DropSchedule, DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';

/** The spec of a schedule, for tests that need any valid one. */
export const earlyDropout = DropScheduleSpec.fromPartial({
  kind: DropKind.DROPOUT,
  rate: 0.1,
  mode: DropMode.EARLY,
  schedule: DropSchedule.LINEAR,
  cutoffEpoch: 5,
});
