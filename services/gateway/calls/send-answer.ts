/** Writes the answer of a call as fast as its reader takes it, and knows when it has ended: Connect's own writer waits for an event that never comes. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { HttpResponse } from '../http/two-protocols.js';

/** Resolves when everything was handed to the connection. @throws if the reader leaves before that */
export async function sendAnswer({ status, header, body }: UniversalServerResponse, to: HttpResponse): Promise<void> {
  // Both kinds of responses have what is used here.
  const response = to as ServerResponse;
  const gone = new AbortController();
  const leave = (): void => gone.abort(new Error('the caller has left'));
  response.once('close', leave);
  if (response.destroyed) leave();
  const chunks = body?.[Symbol.asyncIterator]();
  try {
    for (let head = true; ; head = false) {
      const next = await chunks?.next();
      gone.signal.throwIfAborted();
      // Only with the first chunk are all headers known.
      if (head) response.writeHead(status, Object.fromEntries(header ?? []));
      if (next === undefined || next.done) break;
      if (!response.write(next.value)) await once(response, 'drain', { signal: gone.signal });
    }
    const finished = once(response, 'finish', { signal: gone.signal });
    response.end();
    await finished;
  } finally {
    response.off('close', leave);
    await chunks?.return?.();
  }
}
