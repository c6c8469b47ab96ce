/** Detects that the connection of a call has closed, and resets calls. grpc-js only reports calls to a server, so this reads the HTTP/2 stream. */
import { setMaxListeners } from 'node:events';
import { constants, type Http2Session, type ServerHttp2Stream } from 'node:http2';

const signals = new WeakMap<Http2Session, AbortSignal>();
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

/** The connection of a call, from a handler or an interceptor. */
export const sessionOf = (call: object): Http2Session | undefined => streamOf(call)?.session;

/** Resets a call that has ended if its reader has not taken the end after `graceMs`, which frees what still waits to be sent. */
export function resetUnlessClosed(call: object, graceMs: number): void {
  const stream = streamOf(call);
  if (!stream || stream.closed || stream.destroyed) return;
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM), graceMs);
  stream.once('close', () => clearTimeout(timer));
}

/** A call wraps the calls that interceptors made; the innermost one has the stream. */
function streamOf(call: object): ServerHttp2Stream | undefined {
  type Inner = { stream?: ServerHttp2Stream; nextCall?: unknown } | undefined;
  let inner: Inner = ((call as { call?: unknown }).call ?? call) as Inner;
  for (let depth = 0; inner && depth < 16; depth++) {
    if (inner.stream) return inner.stream;
    inner = inner.nextCall as typeof inner;
  }
  return undefined;
}
