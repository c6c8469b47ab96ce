/** The curve of a drop schedule, from its segments: two points for each, because they are straight. */
import type { ScheduleSegment } from '#protocol/dropstream/v1/schedule_types.js';
import { type Json, num } from '../api/json.js';
import type { Line } from '../chart/plot-data.js';

export function segmentLine(segments: readonly Json<ScheduleSegment>[], label: string, color: number): Line[] {
  if (segments.length === 0) return [];
  const points = segments.flatMap(({ start, end, startValue, endValue }) => [
    [num(start), num(startValue)] as const,
    [Math.max(num(start), num(end) - 1), num(endValue)] as const,
  ]);
  return [{ label, color, x: Float64Array.from(points, ([x]) => x), y: Float64Array.from(points, ([, y]) => y) }];
}
