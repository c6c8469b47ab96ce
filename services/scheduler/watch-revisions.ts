/** Yields every revision after a cursor in order: first the stored ones, then new ones as they appear. */
import { invalid, NotFound } from '#errors/errors.js';
import type { RevisionFeed } from './revision-feed.js';
import type { RevisionRecord } from './revision-record.js';
import type { ScheduleStore } from './schedule-store.js';

const batch = 100;

/** Runs until `signal` aborts. @throws NotFound if the schedule never existed; InvalidArgument if the cursor is past the newest revision */
export async function* watchRevisions(
  schedules: ScheduleStore,
  feed: RevisionFeed,
  name: string,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<RevisionRecord> {
  const newest = await schedules.newest(name, signal);
  if (newest === undefined) throw new NotFound('schedule', name);
  if (after > newest.revision) throw invalid('after_revision', after, `at most the newest revision, ${newest.revision}`);
  let cursor = after;
  for (;;) {
    const records = await schedules.revisionsAfter(name, cursor, batch, signal);
    for (const record of records) {
      yield record;
      cursor = record.revision;
    }
    if (records.length === 0) await feed.changed(name, cursor, signal);
  }
}
