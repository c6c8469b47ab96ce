/** Adapts a handler of handlers.ts to grpc-js: context, deadline, authorisation, back-pressure, cancellation, and errors as statuses. */
import { setMaxListeners } from 'node:events';
import type { Metadata, ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedHandleCall } from '@grpc/grpc-js';
import { orAborted } from '#bounds/or-aborted.js';
import { Cancelled, DeadlineExceeded, DomainError } from '#errors/errors.js';
import type { Places } from '#errors/hide-places.js';
import type { Logger } from '#telemetry/logger.js';
import { formatTraceparent, receivedSpan, runWithSpan, unsampled } from '#telemetry/tracing.js';
import type { KnownCallers } from './admit-calls.js';
import { authorizeCall } from './authorize.js';
import { serverSpan } from './call-spans.js';
import { callerOf } from './caller.js';
import { connectionSignal, resetUnlessClosed } from './connection-signal.js';
import type { AnyMethod, CallContext, Outgoing, StreamHandler, UnaryHandler } from './handlers.js';
import { checkMetadata, maxReceivedMetadataBytes } from './metadata-limit.js';
import type { CallFacts } from './observe-calls.js';
import { type NamesDeclaration, readNames, requireOneProject, resourceOf } from './request-names.js';
import { type GrpcStatus, namesPlaces, toStatus } from './status.js';
import { StreamPump } from './stream-pump.js';
import type { StreamQuota } from './stream-quota.js';

export interface BindOptions {
  readonly logger: Logger;
  /** Identities of the calls whose callers are known. */
  readonly callers: KnownCallers;
  /** Translates errors of lower libraries (storage, data) to those of errors.ts; undefined if it does not know the error. */
  readonly mapError: (error: unknown) => DomainError | undefined;
  /** What errors name and callers are not shown. */
  readonly places: Places;
  /** Longest time that a unary call may take in ms, even if the caller allows more. */
  readonly maxUnaryMs: number;
  readonly maxStreamMs: number;
  /** Number of messages of one stream that were given to the transport and are not yet written. Together with the message size, it bounds memory. */
  readonly streamWindow: number;
  /** Milliseconds for which the reader of a stream may take nothing while messages wait; undefined: any time. */
  readonly streamProgressMs: number | undefined;
  readonly streams: StreamQuota | undefined;
  /** Aborted with Unavailable when draining begins. */
  readonly draining: AbortSignal;
  /** Aborted with Unavailable when the grace period is over. */
  readonly closing: AbortSignal;
  /** Passes facts that only the handler knows to the log interceptor. */
  readonly note: (metadata: Metadata, facts: CallFacts) => void;
}

const STREAM_RETRY_MS = 1000;

type Call = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

export function bindHandler(
  method: AnyMethod,
  names: NamesDeclaration,
  handler: UnaryHandler<never, unknown, never> | StreamHandler<never, unknown, never>,
  options: BindOptions,
): UntypedHandleCall {
  const called: Called = { method: method.path.slice(1), names, lasts: handler.kind === 'stream' && handler.endsOnDrain };
  if (handler.kind === 'unary') {
    const run = handler.run as UnaryHandler<unknown, unknown>['run'];
    return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
      const scope = openCall(called, call, options, options.maxUnaryMs, [options.closing]);
      scope
        .run(async () => {
          scope.authorize();
          return await orAborted(Promise.resolve(run(call.request, scope.ctx)), scope.ctx.signal);
        })
        .then(
          (response) => callback(null, response),
          (error) => callback(scope.status(error)),
        )
        .finally(() => scope.close());
    };
  }
  const run = handler.run as StreamHandler<unknown, unknown>['run'];
  const enders = handler.endsOnDrain ? [options.draining, options.closing] : [options.closing];
  return (call: ServerWritableStream<unknown, unknown>) => {
    const scope = openCall(called, call, options, options.maxStreamMs, enders);
    scope
      .run(async () => {
        scope.authorize();
        const { signal, project } = scope.ctx;
        const { streamWindow: window, streamProgressMs: progressMs, streams } = options;
        // Watches last, so waiting does not help; other streams end soon.
        const leave = project === undefined ? undefined : streams?.enter(project, handler.endsOnDrain ? undefined : STREAM_RETRY_MS);
        try {
          const pump = new StreamPump(call, { signal, window, progressMs, method: called.method });
          await pump.run(run(call.request, { ...scope.ctx, outgoing: pump }));
        } finally {
          leave?.();
        }
      })
      .then(
        () => call.end(),
        (error) => {
          call.emit('error', scope.status(error));
          // The status follows the messages that wait. A reader that does not take those will not take it, so they must not be kept for it.
          if (options.streamProgressMs !== undefined) resetUnlessClosed(call, options.streamProgressMs);
        },
      )
      .finally(() => scope.close());
  };
}

const nothingOutgoing: Outgoing = { taken: 0, idleMs: 0, flushed: async () => {}, stop: () => {} };

interface Called {
  readonly method: string;
  readonly names: NamesDeclaration;
  /** Whether it goes on until the caller leaves. */
  readonly lasts: boolean;
}

interface CallScope {
  readonly ctx: CallContext;
  /** @throws InvalidArgument, PermissionDenied, or what has ended the call already */
  authorize(): void;
  run<T>(work: () => Promise<T>): Promise<T>;
  status(error: unknown): GrpcStatus;
  close(): void;
}

function openCall(
  { method, names, lasts }: Called,
  call: Call,
  options: BindOptions,
  maxMs: number,
  enders: readonly AbortSignal[],
): CallScope {
  const controller = new AbortController();
  // A handler passes this signal to everything that it starts.
  setMaxListeners(0, controller.signal);
  const requested = Number(call.getDeadline());
  const deadlineMs = Math.min(requested, Date.now() + maxMs);
  // setTimeout takes at most 31 bits of milliseconds; the server's options bound maxMs.
  const timer = setTimeout(() => controller.abort(new DeadlineExceeded(method)), Math.max(0, deadlineMs - Date.now()));
  const onCancelled = (): void => controller.abort(Date.now() >= deadlineMs ? new DeadlineExceeded(method) : new Cancelled(method));
  call.on('cancelled', onCancelled);
  if (call.cancelled) onCancelled();
  const identity = options.callers.get(call.metadata);
  const unlink = [...enders, ...(identity ? [identity.ended] : [])].map((ender) => {
    const abort = (): void => controller.abort(ender.reason);
    if (ender.aborted) abort();
    else ender.addEventListener('abort', abort, { once: true });
    return () => ender.removeEventListener('abort', abort);
  });

  const { parsed, named, violations } = readNames(names, call.request);
  const project = named[0]?.project;
  const { requestId } = call.request as { requestId?: unknown };
  const parent = receivedSpan((key) => call.metadata.get(key)[0]?.toString());
  const recorded = serverSpan({ method, parent, peer: call.getPeer(), project });
  const span = recorded.context;
  // A watch looks at the store for as long as it lasts, and what a call has begun may outlive it: neither belongs to its trace.
  const around = lasts ? unsampled(span) : { ...span };
  const resource = resourceOf(method, named, call.request);
  options.note(call.metadata, { project, resource, requestId, traceId: span.traceId, span: recorded });
  const logger = options.logger.child({
    method,
    ...(project === undefined ? {} : { project }),
    ...(identity === undefined ? {} : { principal: identity.principal }),
    trace_id: span.traceId,
    span_id: span.spanId,
  });
  const ctx: CallContext = {
    signal: controller.signal,
    deadlineMs,
    metadata: call.metadata,
    logger,
    names: parsed,
    project,
    method,
    peer: call.getPeer(),
    identity,
    caller: callerOf(call.getPeer(), identity),
    connectionClosed: connectionSignal(call),
    traceId: span.traceId,
    outgoing: nothingOutgoing,
  };

  return {
    ctx,
    authorize: () => {
      checkMetadata(call.metadata, maxReceivedMetadataBytes);
      // Names are parsed first, because the authorizer needs them.
      violations.throwIfAny();
      authorizeCall({ method, metadata: call.metadata, identity, names: named });
      requireOneProject(named);
      controller.signal.throwIfAborted();
    },
    run: (work) => runWithSpan(around, work),
    status: (error) => {
      // The reason of the abort is more precise than whatever the aborted await threw.
      const reason: unknown = controller.signal.aborted ? controller.signal.reason : undefined;
      const known = error instanceof DomainError ? error : (reason ?? options.mapError(error) ?? error);
      if (namesPlaces(known, options.places)) logger.warn({ error: known }, 'the caller is not shown the places in this error');
      const unexpected = (original: unknown): void =>
        logger.error({ error: original, traceparent: formatTraceparent(span) }, 'unexpected error');
      return toStatus(known, unexpected, options.places);
    },
    close: () => {
      clearTimeout(timer);
      for (const off of unlink) off();
      call.off('cancelled', onCancelled);
      around.traceFlags = unsampled(around).traceFlags;
      // Ends whatever the handler left running; nobody receives its errors.
      controller.abort(new Cancelled(method));
    },
  };
}
