/** Yields every revision after a cursor in order: first the stored ones, then new ones as they appear. */
import { invalid, NotFound } from '#errors/errors.js';
import type { ChangeFeed } from '#rpc/change-feed.js';
import type { RevisionRecord } from './revision-record.js';
import type { ScheduleKey } from './revision-series.js';
import type { ScheduleStore } from './schedule-store.js';

/** The key of a schedule in the feed. */
export const watchKey = ({ name, uid }: ScheduleKey): string => `${name} ${uid}`;

export function scheduleOfWatchKey(key: string): ScheduleKey {
  const [name = '', uid = ''] = key.split(' ');
  return { name, uid };
}

/**
 * Runs until `signal` aborts, or until the revision that marks the deletion of the schedule: later schedules of the same name are others. All who watch
 * one schedule share one reader of the store (see ChangeFeed).
 * @param schedule its uid may be empty: then the schedule that has the name now, or had it last
 * @throws NotFound if there is no such schedule; InvalidArgument if the cursor is past the newest revision
 */
export async function* watchRevisions(
  schedules: ScheduleStore,
  feed: ChangeFeed<void>,
  schedule: ScheduleKey,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<RevisionRecord> {
  const { name } = schedule;
  const newest = await schedules.newest(name, signal);
  if (newest === undefined) throw new NotFound('schedule', name);
  const { uid } = newest;
  const unknown = (): NotFound => new NotFound('schedule', `${name} with uid ${schedule.uid.slice(0, 64) || uid}`);
  if (schedule.uid !== '' && schedule.uid !== uid) throw unknown();
  if (after > newest.revision) throw invalid('after_revision', after, `at most the newest revision, ${newest.revision}`);
  let known = newest.revision;
  // Smaller numbers belonged to earlier schedules of this name.
  for (let cursor = Math.max(after, newest.creation.revision - 1); ; ) {
    // Infinity: the name belongs to another schedule by now.
    if (known === Number.POSITIVE_INFINITY) throw unknown();
    while (cursor < known) {
      const record = await schedules.revision({ name, uid, revision: cursor + 1 }, signal);
      yield record;
      cursor = record.revision;
      if (record.deleted) return;
    }
    known = (await feed.changed(watchKey({ name, uid }), cursor, signal)).number;
  }
}
