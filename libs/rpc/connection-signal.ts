/** Detects that the connection of a call has closed. grpc-js only reports calls to a server, so this reads the HTTP/2 session. */
import { setMaxListeners } from 'node:events';
import type { ServerHttp2Session } from 'node:http2';

const signals = new WeakMap<ServerHttp2Session, AbortSignal>();
const never = new AbortController().signal;
setMaxListeners(0, never);

/**
 * One signal for all calls of a connection. If grpc-js stores the session elsewhere than version 1.14 does, it never aborts (a test detects that).
 */
export function connectionSignal(call: object): AbortSignal {
  const session = sessionOf(call);
  if (!session) return never;
  const known = signals.get(session);
  if (known) return known;
  const closed = new AbortController();
  setMaxListeners(0, closed.signal);
  if (session.destroyed || session.closed) closed.abort();
  else session.once('close', () => closed.abort());
  signals.set(session, closed.signal);
  return closed.signal;
}

/** A call wraps the calls that interceptors made; the innermost one has the stream. */
function sessionOf(call: object): ServerHttp2Session | undefined {
  let inner = (call as { call?: unknown }).call as { stream?: { session?: ServerHttp2Session }; nextCall?: unknown } | undefined;
  for (let depth = 0; inner && depth < 16; depth++) {
    if (inner.stream) return inner.stream.session;
    inner = inner.nextCall as typeof inner;
  }
  return undefined;
}
