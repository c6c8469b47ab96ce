/**
 * How handlers are written: `unary(async (request, ctx) => response)`, `serverStream(async function* (request, ctx) {…})`, and `watchStream` for
 * streams that only end with the call. bind-handler.ts adapts them to grpc-js (deadlines, cancellation, back-pressure, errors). Handlers only
 * validate, call domain code and respond.
 */
import type { Metadata, MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { Identity } from '#auth/identity.js';
import type { Logger } from '#telemetry/logger.js';
import type { NamesDeclaration, ParsedNames, RequestNames } from './request-names.js';

/** What a stream has written and its reader has not taken yet. */
export interface Outgoing {
  /** Number of messages that were passed to the socket so far. */
  readonly taken: number;
  /** Milliseconds for which messages have waited without one being taken; 0 if none waits. */
  readonly idleMs: number;
  /** For the source, between two messages: resolves when everything yielded so far was passed to the socket. @throws what ends the stream */
  flushed(): Promise<void>;
  /** Ends the stream with `error` as soon as it waits for its reader. */
  stop(error: Error): void;
}

/** The context of a call. `N`: the resource names of its request, as the service declares them. */
export interface CallContext<N = unknown> {
  /** Aborts on cancellation, deadline and the end of draining; its reason is an error of errors.ts. Pass it to every await. */
  readonly signal: AbortSignal;
  /** The call's deadline in milliseconds of Date.now(). Always finite, because the server sets a maximum. */
  readonly deadlineMs: number;
  readonly metadata: Metadata;
  /** Logs method, project, principal and trace id with every line. */
  readonly logger: Logger;
  /** The resource names of the request, parsed and authorised. */
  readonly names: N;
  /** The project that the request names; undefined if it names none. */
  readonly project: string | undefined;
  /** e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly method: string;
  readonly peer: string;
  /** Who calls; undefined where the service admits callers without identities. */
  readonly identity: Identity | undefined;
  /** Whom the call is charged to where a server is divided among callers; see callerOf. */
  readonly caller: string;
  /** Aborts when the connection of the call closes; never aborts if the transport does not report that. */
  readonly connectionClosed: AbortSignal;
  /** To be passed on to other services. */
  readonly traceId: string;
  /** For streams; a unary call has nothing outgoing. */
  readonly outgoing: Outgoing;
}

export type UnaryFunction<Q, R, N = unknown> = (request: Q, ctx: CallContext<N>) => Promise<R> | R;
export type StreamFunction<Q, R, N = unknown> = (request: Q, ctx: CallContext<N>) => AsyncIterable<R>;

export interface UnaryHandler<Q, R, N = unknown> {
  readonly kind: 'unary';
  readonly run: UnaryFunction<Q, R, N>;
}

export interface StreamHandler<Q, R, N = unknown> {
  readonly kind: 'stream';
  readonly run: StreamFunction<Q, R, N>;
  /**
   * If true, draining ends the stream at once with UNAVAILABLE, and the client resumes elsewhere. If false, it may finish within the grace period.
   */
  readonly endsOnDrain: boolean;
}

export function unary<Q, R, N>(run: UnaryFunction<Q, R, N>): UnaryHandler<Q, R, N> {
  return { kind: 'unary', run };
}

/** A stream that ends by itself, such as the chunks of a batch. The iterator's `return` is called if the call ends early. */
export function serverStream<Q, R, N>(run: StreamFunction<Q, R, N>): StreamHandler<Q, R, N> {
  return { kind: 'stream', run, endsOnDrain: false };
}

/** A stream that continues until the caller leaves, with a cursor for resuming. */
export function watchStream<Q, R, N>(run: StreamFunction<Q, R, N>): StreamHandler<Q, R, N> {
  return { kind: 'stream', run, endsOnDrain: true };
}

export type RequestOf<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Q } ? Q : never;
type ResponseOf<M> = M extends { responseDeserialize: (bytes: Buffer) => infer R } ? R : never;
type NamesOf<D, N, K extends keyof D> = K extends keyof N ? ParsedNames<RequestOf<D[K]>, N[K]> : unknown;

/**
 * The handlers for a generated service definition (`XService`). Client streams are not used in this project. `N` is the declaration of the names in
 * its requests; without one, a handler gets them untyped.
 */
export type HandlersOf<D, N = unknown> = {
  readonly [K in keyof D]: D[K] extends { requestStream: false; responseStream: false }
    ? UnaryHandler<RequestOf<D[K]>, ResponseOf<D[K]>, NamesOf<D, N, K>>
    : D[K] extends { requestStream: false; responseStream: true }
      ? StreamHandler<RequestOf<D[K]>, ResponseOf<D[K]>, NamesOf<D, N, K>>
      : never;
};

export interface BoundService {
  readonly definition: ServiceDefinition;
  readonly names: Readonly<Record<string, NamesDeclaration>>;
  readonly implementation: Readonly<Record<string, UnaryHandler<never, unknown, never> | StreamHandler<never, unknown, never>>>;
}

/**
 * Combines a generated definition, the names in its requests and its handlers, fully typed: `service(SchedulerServiceService, schedulerNames, {
 * getRates: unary(…), … })`.
 */
export function service<D extends object, const N extends RequestNames<D>>(
  definition: D,
  names: N,
  implementation: HandlersOf<D, N>,
): BoundService {
  return {
    definition: definition as unknown as ServiceDefinition,
    names: names as unknown as BoundService['names'],
    implementation: implementation as unknown as BoundService['implementation'],
  };
}

export type AnyMethod = MethodDefinition<unknown, unknown>;
