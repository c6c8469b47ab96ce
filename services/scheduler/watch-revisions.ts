/** Every revision after a cursor, in order, none left out: first those stored, then new ones as they appear. */
import { invalid, NotFound } from '#errors/errors.js';
import type { RevisionFeed } from './revision-feed.js';
import type { RevisionRecord } from './revision-record.js';
import type { ScheduleStore } from './schedule-store.js';

const batch = 100;

/** Goes on until `signal` aborts. @throws NotFound for a name without any revision; InvalidArgument for a cursor of the future */
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
