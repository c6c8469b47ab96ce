/** From a handler of handlers.ts to a grpc-js handler: context, deadline, authorisation, back-pressure, cancellation, errors to status. */
import { setMaxListeners } from 'node:events';
import type { Metadata, ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedHandleCall } from '@grpc/grpc-js';
import { orAborted } from '#bounds/or-aborted.js';
import { Cancelled, DeadlineExceeded, DomainError } from '#errors/errors.js';
import type { Logger } from '#telemetry/logger.js';
import { activeSpan, childSpan, formatTraceparent, parseTraceparent, runWithSpan, traceparentKey } from '#telemetry/tracing.js';
import type { Authorize } from './authorize.js';
import { connectionSignal } from './connection-signal.js';
import type { AnyMethod, CallContext, StreamHandler, UnaryHandler } from './handlers.js';
import { type NamesDeclaration, readNames, requireOneProject } from './request-names.js';
import { type GrpcStatus, toStatus } from './status.js';
import { StreamPump } from './stream-pump.js';

export interface BindOptions {
  readonly logger: Logger;
  readonly authorize: Authorize;
  /** Translates errors of lower libraries (storage, data) to those of errors.ts; undefined where it knows no better. */
  readonly mapError: (error: unknown) => DomainError | undefined;
  /** Longest a unary call may take, also where the caller asks for more. */
  readonly maxUnaryMs: number;
  readonly maxStreamMs: number;
  /** Messages of one stream that are handed to the transport and not yet written: bounds memory together with the message size. */
  readonly streamWindow: number;
  /** Aborted with Unavailable when draining begins. */
  readonly draining: AbortSignal;
  /** Aborted with Unavailable when the grace is over. */
  readonly closing: AbortSignal;
  /** Tells the log interceptor what only the handler knows. */
  readonly note: (metadata: Metadata, facts: { project: string | undefined; traceId: string }) => void;
}

type Call = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

export function bindHandler(
  method: AnyMethod,
  names: NamesDeclaration,
  handler: UnaryHandler<never, unknown, never> | StreamHandler<never, unknown, never>,
  options: BindOptions,
): UntypedHandleCall {
  const called: Called = { method: method.path.slice(1), names };
  if (handler.kind === 'unary') {
    const run = handler.run as UnaryHandler<unknown, unknown>['run'];
    return (call: ServerUnaryCall<unknown, unknown>, callback: sendUnaryData<unknown>) => {
      const scope = openCall(called, call, options, options.maxUnaryMs, [options.closing]);
      scope
        .run(async () => {
          await scope.authorize();
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
        await scope.authorize();
        const pump = new StreamPump(call, scope.ctx.signal, options.streamWindow);
        await pump.run(run(call.request, { ...scope.ctx, flushed: () => pump.flushed() }));
      })
      .then(
        () => call.end(),
        (error) => call.emit('error', scope.status(error)),
      )
      .finally(() => scope.close());
  };
}

interface Called {
  readonly method: string;
  readonly names: NamesDeclaration;
}

interface CallScope {
  readonly ctx: CallContext;
  authorize(): Promise<void>;
  run<T>(work: () => Promise<T>): Promise<T>;
  status(error: unknown): GrpcStatus;
  close(): void;
}

function openCall({ method, names }: Called, call: Call, options: BindOptions, maxMs: number, enders: readonly AbortSignal[]): CallScope {
  const controller = new AbortController();
  // A handler passes it to everything it starts.
  setMaxListeners(0, controller.signal);
  const requested = Number(call.getDeadline());
  const deadlineMs = Math.min(requested, Date.now() + maxMs);
  // setTimeout holds 31 bits of milliseconds; maxMs is bounded by the server's options.
  const timer = setTimeout(() => controller.abort(new DeadlineExceeded(method)), Math.max(0, deadlineMs - Date.now()));
  const onCancelled = (): void => controller.abort(Date.now() >= deadlineMs ? new DeadlineExceeded(method) : new Cancelled(method));
  call.on('cancelled', onCancelled);
  if (call.cancelled) onCancelled();
  const unlink = enders.map((ender) => {
    const abort = (): void => controller.abort(ender.reason);
    if (ender.aborted) abort();
    else ender.addEventListener('abort', abort, { once: true });
    return () => ender.removeEventListener('abort', abort);
  });

  const header = call.metadata.get(traceparentKey)[0];
  const span = childSpan(parseTraceparent(header === undefined ? undefined : String(header)) ?? activeSpan());
  const { parsed, named, violations } = readNames(names, call.request);
  const project = named[0]?.project;
  options.note(call.metadata, { project, traceId: span.traceId });
  const logger = options.logger.child({ method, ...(project === undefined ? {} : { project }), trace_id: span.traceId });
  const ctx: CallContext = {
    signal: controller.signal,
    deadlineMs,
    metadata: call.metadata,
    logger,
    names: parsed,
    project,
    method,
    peer: call.getPeer(),
    connectionClosed: connectionSignal(call),
    traceId: span.traceId,
    flushed: async () => {},
  };

  return {
    ctx,
    authorize: async () => {
      // Names come first: without them nobody can say whether the caller may ask.
      violations.throwIfAny();
      await options.authorize({ method, metadata: call.metadata, peer: ctx.peer, names: named });
      requireOneProject(named);
      controller.signal.throwIfAborted();
    },
    run: (work) => runWithSpan(span, work),
    status: (error) => {
      // Whatever an aborted await threw, the reason of the abort says it better.
      const reason: unknown = controller.signal.aborted ? controller.signal.reason : undefined;
      const known = error instanceof DomainError ? error : (reason ?? options.mapError(error) ?? error);
      return toStatus(known, (original) => logger.error({ error: original, traceparent: formatTraceparent(span) }, 'unexpected error'));
    },
    close: () => {
      clearTimeout(timer);
      for (const off of unlink) off();
      call.off('cancelled', onCancelled);
      // Ends what a handler left running; its errors have nobody to go to.
      controller.abort(new Cancelled(method));
    },
  };
}
