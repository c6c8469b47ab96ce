/** The segments of a drop schedule as bands behind curves. */
import type { ScheduleSegment } from '#protocol/dropstream/v1/schedule_types.js';
import { type Json, num } from '../api/json.js';
import type { Band } from '../chart/overlays.js';

export function bandsOf(segments: readonly Json<ScheduleSegment>[]): Band[] {
  const highest = Math.max(...segments.map(({ startValue }) => num(startValue)), 0);
  if (highest === 0) return [];
  return segments
    .map(({ start, end, startValue, endValue }) => ({
      from: num(start),
      to: num(end),
      startShare: num(startValue) / highest,
      endShare: num(endValue) / highest,
    }))
    .filter(({ startShare, endShare }) => startShare > 0 || endShare > 0);
}
