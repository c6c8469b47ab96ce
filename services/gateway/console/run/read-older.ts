/** Reads what a long log has before the records that are known, when somebody asks for it. */
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import { stream } from '../api/stream.js';
import type { Event } from '../api/watch-run.js';
import type { RunHistory } from '../history/run-history.js';

/** Most records are of steps, which the log in words leaves out. */
const RECORDS = 2000;
/** Read one after the other until there is something to show. */
const MOST_PARTS = 5;
const READ_MS = 30_000;

/** @throws RpcError */
export async function readOlder(history: RunHistory, { name, uid }: Json<Run>, signal: AbortSignal): Promise<void> {
  for (let part = 0; part < MOST_PARTS && history.unreadUntil > 1; part++) {
    const until = history.unreadUntil;
    const after = Math.max(1, until - RECORDS);
    const events: Event[] = [];
    const enough = new AbortController();
    const ends = AbortSignal.any([signal, enough.signal, AbortSignal.timeout(READ_MS)]);
    try {
      for await (const messages of stream('TrainerService/WatchRun', { name, uid, afterSequence: String(after) }, ends)) {
        for (const { event } of messages)
          if (event !== undefined && event.steps === undefined && num(event.sequence) <= until) events.push(event);
        if (num(messages.at(-1)?.event?.sequence) >= until) break;
      }
    } finally {
      enough.abort();
    }
    if (history.takeOlder(events, after) > 0) return;
  }
}
