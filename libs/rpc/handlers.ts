/**
 * How a handler is written: `unary(async (request, ctx) => response)`, `serverStream(async function* (request, ctx) {…})`,
 * `watchStream` for streams that only end with the call. Adapters to grpc-js (deadlines, cancellation, back-pressure, errors) are in
 * bind-handler.ts; handlers only validate, call domain code and answer.
 */
import type { Metadata, MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { Logger } from '#telemetry/logger.js';
import type { NamesDeclaration, ParsedNames, RequestNames } from './request-names.js';

/** What a handler knows of its call. `N`: the resource names of its request, as the service declares them. */
export interface CallContext<N = unknown> {
  /** Aborts on cancellation, deadline and the end of draining; its reason is an error of errors.ts. Pass it to every await. */
  readonly signal: AbortSignal;
  /** When the call's deadline passes: milliseconds of Date.now(). Always finite: the server sets a maximum. */
  readonly deadlineMs: number;
  readonly metadata: Metadata;
  /** Bound to method, project and trace id. */
  readonly logger: Logger;
  /** The resource names of the request, parsed and authorised. */
  readonly names: N;
  /** The project that the request names; undefined where it names none. */
  readonly project: string | undefined;
  /** e.g. `dropstream.v1.SchedulerService/GetRates`. */
  readonly method: string;
  readonly peer: string;
  /** Aborts when the connection of the call closes; where the transport does not tell, never. */
  readonly connectionClosed: AbortSignal;
  /** Pass on to other services. */
  readonly traceId: string;
  /** Streams: resolves when everything yielded so far has left for the socket. @throws the signal's reason */
  readonly flushed: () => Promise<void>;
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
  /** On drain: true ends it at once with UNAVAILABLE (the client resumes elsewhere), false lets it finish within the grace. */
  readonly endsOnDrain: boolean;
}

export function unary<Q, R, N>(run: UnaryFunction<Q, R, N>): UnaryHandler<Q, R, N> {
  return { kind: 'unary', run };
}

/** A stream that ends by itself, e.g. the chunks of a batch. The iterator's `return` is called when the call ends early. */
export function serverStream<Q, R, N>(run: StreamFunction<Q, R, N>): StreamHandler<Q, R, N> {
  return { kind: 'stream', run, endsOnDrain: false };
}

/** A stream that goes on until the caller leaves, with a cursor to resume from. */
export function watchStream<Q, R, N>(run: StreamFunction<Q, R, N>): StreamHandler<Q, R, N> {
  return { kind: 'stream', run, endsOnDrain: true };
}

export type RequestOf<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Q } ? Q : never;
type ResponseOf<M> = M extends { responseDeserialize: (bytes: Buffer) => infer R } ? R : never;
type NamesOf<D, N, K extends keyof D> = K extends keyof N ? ParsedNames<RequestOf<D[K]>, N[K]> : unknown;

/**
 * The handlers that a generated service definition (`XService`) asks for; client streams are not used here. `N`: the declaration of its
 * requests' names; without one, a handler gets them untyped.
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
 * Puts a generated definition, the names in its requests and its handlers together, fully typed:
 * `service(SchedulerServiceService, schedulerNames, { getRates: unary(…), … })`.
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
