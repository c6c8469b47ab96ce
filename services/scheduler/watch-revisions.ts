/** Yields every revision after a cursor in order: first the stored ones, then new ones as they appear. */
import { invalid, NotFound } from '#errors/errors.js';
import type { RevisionFeed } from './revision-feed.js';
import type { RevisionRecord } from './revision-record.js';
import type { ScheduleStore } from './schedule-store.js';

const batch = 100;

/**
 * Runs until `signal` aborts, or until the revision that marks the deletion of the schedule: later schedules of the same name are others.
 * @param schedule its uid may be empty: then the schedule that has the name now, or had it last
 * @throws NotFound if there is no such schedule; InvalidArgument if the cursor is past the newest revision
 */
export async function* watchRevisions(
  schedules: ScheduleStore,
  feed: RevisionFeed,
  schedule: { readonly name: string; readonly uid: string },
  after: number,
  signal: AbortSignal,
): AsyncGenerator<RevisionRecord> {
  const { name } = schedule;
  const newest = await schedules.newest(name, signal);
  if (newest === undefined) throw new NotFound('schedule', name);
  const { uid } = newest;
  if (schedule.uid !== '' && schedule.uid !== uid) throw new NotFound('schedule', `${name} with uid ${schedule.uid.slice(0, 64)}`);
  if (after > newest.revision) throw invalid('after_revision', after, `at most the newest revision, ${newest.revision}`);
  let cursor = after;
  for (;;) {
    const records = await schedules.revisionsAfter({ name, uid }, cursor, batch, signal);
    for (const record of records) {
      yield record;
      cursor = record.revision;
      if (record.deleted) return;
    }
    if (records.length === 0) await feed.changed(uid, name, cursor, signal);
  }
}
