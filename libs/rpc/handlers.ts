/**
 * How a handler is written: `unary(async (request, ctx) => response)`, `serverStream(async function* (request, ctx) {…})`,
 * `watchStream` for streams that only end with the call. Adapters to grpc-js (deadlines, cancellation, back-pressure, errors) are in
 * bind-handler.ts; handlers only validate, call domain code and answer.
 */
import type { Metadata, MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { Logger } from '#telemetry/logger.js';

/** What a handler knows of its call. */
export interface CallContext {
  /** Aborts on cancellation, deadline and the end of draining; its reason is an error of errors.ts. Pass it to every await. */
  readonly signal: AbortSignal;
  /** When the call's deadline passes: milliseconds of Date.now(). Always finite: the server sets a maximum. */
  readonly deadlineMs: number;
  readonly metadata: Metadata;
  /** Bound to method, project and trace id. */
  readonly logger: Logger;
  /** The first project that the request names; undefined where it names none. */
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

export type UnaryFunction<Q, R> = (request: Q, ctx: CallContext) => Promise<R> | R;
export type StreamFunction<Q, R> = (request: Q, ctx: CallContext) => AsyncIterable<R>;

export interface UnaryHandler<Q, R> {
  readonly kind: 'unary';
  readonly run: UnaryFunction<Q, R>;
}

export interface StreamHandler<Q, R> {
  readonly kind: 'stream';
  readonly run: StreamFunction<Q, R>;
  /** On drain: true ends it at once with UNAVAILABLE (the client resumes elsewhere), false lets it finish within the grace. */
  readonly endsOnDrain: boolean;
}

export function unary<Q, R>(run: UnaryFunction<Q, R>): UnaryHandler<Q, R> {
  return { kind: 'unary', run };
}

/** A stream that ends by itself, e.g. the chunks of a batch. The iterator's `return` is called when the call ends early. */
export function serverStream<Q, R>(run: StreamFunction<Q, R>): StreamHandler<Q, R> {
  return { kind: 'stream', run, endsOnDrain: false };
}

/** A stream that goes on until the caller leaves, with a cursor to resume from. */
export function watchStream<Q, R>(run: StreamFunction<Q, R>): StreamHandler<Q, R> {
  return { kind: 'stream', run, endsOnDrain: true };
}

type RequestOf<M> = M extends { requestDeserialize: (bytes: Buffer) => infer Q } ? Q : never;
type ResponseOf<M> = M extends { responseDeserialize: (bytes: Buffer) => infer R } ? R : never;

/** The handlers that a generated service definition (`XService`) asks for; client streams are not used here. */
export type HandlersOf<D> = {
  readonly [K in keyof D]: D[K] extends { requestStream: false; responseStream: false }
    ? UnaryHandler<RequestOf<D[K]>, ResponseOf<D[K]>>
    : D[K] extends { requestStream: false; responseStream: true }
      ? StreamHandler<RequestOf<D[K]>, ResponseOf<D[K]>>
      : never;
};

export interface BoundService {
  readonly definition: ServiceDefinition;
  readonly implementation: Readonly<Record<string, UnaryHandler<never, unknown> | StreamHandler<never, unknown>>>;
}

/** Pairs a generated definition with its handlers, fully typed: `service(SchedulerServiceService, { getRates: unary(…), … })`. */
export function service<D extends object>(definition: D, implementation: HandlersOf<D>): BoundService {
  return {
    definition: definition as unknown as ServiceDefinition,
    implementation: implementation as unknown as BoundService['implementation'],
  };
}

export type AnyMethod = MethodDefinition<unknown, unknown>;
