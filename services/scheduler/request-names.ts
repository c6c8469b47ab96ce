/** Declares which fields of the scheduler's requests hold resource names. */
import type { SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import type { RequestNames } from '#rpc/request-names.js';

export const schedulerNames = {
  createSchedule: { parent: 'project', scheduleId: 'text', requestId: 'text' },
  getSchedule: { name: 'schedule' },
  listSchedules: { parent: 'project', pageToken: 'text' },
  updateSchedule: { name: 'schedule', updateMask: 'text', etag: 'text', requestId: 'text' },
  deleteSchedule: { name: 'schedule', etag: 'text' },
  previewSchedule: {},
  getRates: { source: { schedule: 'schedule' } },
  watchSchedule: { name: 'schedule', uid: 'text' },
} as const satisfies RequestNames<typeof SchedulerServiceService>;
