/** The events of a run's log as they happen, over any number of connections. */
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import type { Json } from './json.js';
import { mayPass } from './rpc-error.js';
import { stream } from './stream.js';
import { seen, unseen } from './visibility.js';

export type Event = Json<RunEvent>;

export interface Watching {
  readonly name: string;
  readonly uid?: string | undefined;
  /** Sequence number of the last event that is known already; '0': none. */
  readonly after: string;
  /** Called if the stream breaks, and again with undefined once it goes on. */
  readonly onTrouble?: (error: Error | undefined) => void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/** Yields events until the run has ended or `signal` is aborted. @throws RpcError if trying again would not help */
export async function* watchRun({ name, uid, after, onTrouble }: Watching, signal: AbortSignal): AsyncGenerator<Event[]> {
  let waitMs = FIRST_WAIT_MS;
  let last = after;
  for (;;) {
    await seen(signal);
    const hidden = unseen();
    try {
      const request = { name, afterSequence: last, ...(uid !== undefined && { uid }) };
      for await (const messages of stream('TrainerService/WatchRun', request, AbortSignal.any([signal, hidden.signal]))) {
        const events = messages.flatMap(({ event }) => (event === undefined ? [] : [event]));
        onTrouble?.(undefined);
        waitMs = FIRST_WAIT_MS;
        last = events.at(-1)?.sequence ?? last;
        yield events;
      }
      return;
    } catch (error) {
      if (signal.aborted) throw error;
      if (hidden.signal.aborted) continue;
      if (!mayPass(error)) throw error;
      onTrouble?.(error as Error);
    } finally {
      hidden.close();
    }
    await pause(waitMs, signal);
    waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
  }
}

/** Waits; rejects when the signal is aborted. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
  });
}
