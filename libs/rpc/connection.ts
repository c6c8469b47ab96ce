/** What a call of a client needs of its connection, and what the caller says about it. */
import { type Client, Metadata } from '@grpc/grpc-js';
import type { GrpcMetrics } from '#telemetry/grpc-metrics.js';
import type { RetryPolicy } from './retry.js';

/** Deadline, signal, or both: a call without either could hang for ever. */
export type CallOptions = CallExtras &
  ({ readonly timeoutMs: number; readonly signal?: AbortSignal } | { readonly timeoutMs?: number; readonly signal: AbortSignal });

export interface CallExtras {
  readonly metadata?: Readonly<Record<string, string>>;
  /**
   * Whether the call may be repeated when a server was unavailable. Default: methods named Get, List, Describe, Preview or Watch, and
   * requests with a request id. A stream is only repeated before its first message.
   */
  readonly idempotent?: boolean;
}

/** What callUnary and callStream need of a connection. */
export interface Connection {
  readonly client: Client;
  readonly metrics: GrpcMetrics | undefined;
  readonly retry: RetryPolicy;
  readonly metadata: Readonly<Record<string, string>>;
}

/** Metadata of one call: the connection's, the call's own, the trace's. */
export function metadataOf(...parts: readonly (Readonly<Record<string, string>> | undefined)[]): Metadata {
  const metadata = new Metadata();
  for (const part of parts) for (const [key, value] of Object.entries(part ?? {})) metadata.set(key, value);
  return metadata;
}
