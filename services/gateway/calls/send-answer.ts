/** Writes the answer of a call as fast as its reader takes it, and knows when it has ended: Connect's own writer waits for an event that never comes. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { HttpResponse } from '../http/two-protocols.js';

/** A reader that takes nothing for so long holds an answer in memory, and the call of a stream, for nobody. */
const STALLED_MS = 300_000;

/** Resolves when everything was handed to the connection. @throws if the reader leaves before that, or takes nothing for `stalledMs` */
export async function sendAnswer(
  { status, header, body }: UniversalServerResponse,
  to: HttpResponse,
  stalledMs = STALLED_MS,
): Promise<void> {
  // Both kinds of responses have what is used here.
  const response = to as ServerResponse;
  const gone = new AbortController();
  const leave = (): void => gone.abort(new Error('the caller has left'));
  response.once('close', leave);
  if (response.destroyed) leave();
  const taken = async (event: 'drain' | 'finish'): Promise<void> => {
    const timer = setTimeout(() => gone.abort(new Error('the caller takes nothing')), stalledMs);
    try {
      await once(response, event, { signal: gone.signal });
    } finally {
      clearTimeout(timer);
    }
  };
  const chunks = body?.[Symbol.asyncIterator]();
  try {
    for (let head = true; ; head = false) {
      const next = await chunks?.next();
      gone.signal.throwIfAborted();
      // Only with the first chunk are all headers known.
      if (head) response.writeHead(status, Object.fromEntries(header ?? []));
      if (next === undefined || next.done) break;
      if (!response.write(next.value)) await taken('drain');
    }
    const finished = taken('finish');
    response.end();
    await finished;
  } finally {
    response.off('close', leave);
    await chunks?.return?.();
  }
}
