/** Reads a server stream of the gateway: Connect envelopes of JSON in the body of a POST. */
import { asked, post, unreachable } from './call.js';
import { EnvelopeReader, envelope } from './envelopes.js';
import type { RequestOf, ResponseOf, StreamMethod } from './methods.js';
import { errorOfJson, RpcError } from './rpc-error.js';

/** The messages that arrived together: a long log comes in few pieces. @throws RpcError, or the signal's reason */
export async function* stream<M extends StreamMethod>(
  method: M,
  request: RequestOf<M>,
  signal: AbortSignal,
): AsyncGenerator<ResponseOf<M>[]> {
  const response = await post(method, 'application/connect+json', envelope(request), { signal, cancelled: signal });
  const body = response.body?.getReader();
  if (body === undefined) throw new RpcError('internal', 'The gateway answered without a body.');
  const reader = new EnvelopeReader();
  try {
    for (;;) {
      const piece = await body.read().catch((error: unknown) => {
        throw unreachable(error, signal);
      });
      if (piece.done) throw new RpcError('unavailable', 'The stream ended without a last message.');
      const envelopes = reader.push(piece.value);
      const messages = envelopes.filter(({ end }) => !end).map(({ json }) => json as ResponseOf<M>);
      if (messages.length > 0) yield messages;
      const last = envelopes.find(({ end }) => end);
      if (last === undefined) continue;
      const { error } = last.json as { error?: unknown };
      if (error !== undefined) throw asked(errorOfJson(error));
      return;
    }
  } finally {
    await body.cancel().catch(() => undefined);
  }
}
