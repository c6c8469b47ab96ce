/** Calls an RPC of the gateway by the Connect protocol with JSON. */
import { tellConnection } from './connection.js';
import type { RequestOf, ResponseOf, UnaryMethod } from './methods.js';
import { errorOf, RpcError } from './rpc-error.js';
import { token, tokenWanted } from './token.js';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default 15 s. */
  readonly timeoutMs?: number;
  /** Called with the headers of a successful answer. */
  readonly onHeaders?: (headers: Headers) => void;
}

const TIMEOUT_MS = 15_000;

/** @throws RpcError, or the signal's reason if it is aborted */
export async function call<M extends UnaryMethod>(method: M, request: RequestOf<M>, options: CallOptions = {}): Promise<ResponseOf<M>> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const response = await post(method, 'application/json', JSON.stringify(request), {
    signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(options.signal ? [options.signal] : [])]),
    timeoutMs,
    cancelled: options.signal,
  });
  options.onHeaders?.(response.headers);
  try {
    return (await response.json()) as ResponseOf<M>;
  } catch (error) {
    throw unreachable(error, options.signal);
  }
}

/** Sends a request to a method of dropstream.v1, or to one with its full name, and returns the response once it says that the call was accepted. */
export async function post(
  method: string,
  type: string,
  body: string | Uint8Array<ArrayBuffer>,
  { signal, timeoutMs, cancelled }: { signal: AbortSignal; timeoutMs?: number; cancelled?: AbortSignal | undefined },
): Promise<Response> {
  const headers: Record<string, string> = { 'content-type': type, 'connect-protocol-version': '1' };
  if (timeoutMs !== undefined) headers['connect-timeout-ms'] = String(timeoutMs);
  if (token.get() !== '') headers.authorization = `Bearer ${token.get()}`;
  let response: Response;
  let text = '';
  try {
    response = await fetch(`/${method.includes('.') ? method : `dropstream.v1.${method}`}`, {
      method: 'POST',
      headers,
      body,
      signal,
      credentials: 'same-origin',
      cache: 'no-store',
    });
    if (!response.ok) text = await response.text();
  } catch (error) {
    throw unreachable(error, cancelled);
  }
  tellConnection(true);
  if (response.ok) return response;
  throw asked(errorOf(response.status, text));
}

/** Asks for a token if this is why the call was refused. */
export function asked(error: RpcError): RpcError {
  if (error.code === 'unauthenticated') tokenWanted.set(error.message);
  return error;
}

export function unreachable(error: unknown, cancelled: AbortSignal | undefined): unknown {
  if (cancelled?.aborted) return cancelled.reason;
  if (error instanceof DOMException && error.name === 'TimeoutError') {
    return new RpcError('deadline_exceeded', 'The gateway did not answer in time.');
  }
  tellConnection(false);
  return new RpcError('unreachable', 'The gateway cannot be reached.');
}
