/** The interface between calls and the connection of a client, and the options of a call. */
import { type Client, Metadata } from '@grpc/grpc-js';
import type { CallerToken } from '#auth/caller-token.js';
import type { GrpcMetrics } from '#telemetry/grpc-metrics.js';
import type { RetryPolicy } from './retry.js';

/** A deadline, a signal, or both: a call without either could hang for ever. */
export type CallOptions = CallExtras &
  ({ readonly timeoutMs: number; readonly signal?: AbortSignal } | { readonly timeoutMs?: number; readonly signal: AbortSignal });

export interface CallExtras {
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * Whether the call may be repeated if a server is unavailable. Default: true for methods named Get, List, Describe, Preview or Watch, and for
   * requests with a request id. A stream is only repeated before its first message.
   */
  readonly idempotent?: boolean;
  /** Called with the headers of the answer of a unary call; an answer that is an error alone may have none. */
  readonly onHeaders?: (headers: Metadata) => void;
}

/** What callUnary and callStream use of a connection. */
export interface Connection {
  readonly client: Client;
  /** As it was given to connect(). */
  readonly address: string;
  /** For messages: where calls go, and what went wrong on the way if that is known. */
  readonly where: () => string;
  readonly metrics: GrpcMetrics | undefined;
  readonly retry: RetryPolicy;
  readonly metadata: Readonly<Record<string, string>>;
  readonly token: CallerToken | undefined;
}

/** Merges the metadata of one call: that of the connection, of the call itself, and of the trace. */
export function metadataOf(...parts: readonly (Readonly<Record<string, string>> | undefined)[]): Metadata {
  const metadata = new Metadata();
  for (const part of parts) for (const [key, value] of Object.entries(part ?? {})) metadata.set(key, value);
  return metadata;
}
