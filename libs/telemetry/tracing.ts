/**
 * W3C trace context through the services: a `traceparent` is read from a call's metadata, or a new one is made. Its ids are in every log line of the
 * call, and outgoing calls pass it on. If the host program has an OpenTelemetry SDK with an active span, that span is the parent. Ids are random; no
 * result depends on them.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { context, isSpanContextValid, type SpanContext, TraceFlags, trace } from '@opentelemetry/api';

export const traceparentKey = 'traceparent';

const active = new AsyncLocalStorage<SpanContext>();

/** Parses version 00, and reads later versions as 00, as the standard requires. Undefined if malformed or all zero. */
export function parseTraceparent(header: string | undefined): SpanContext | undefined {
  const match = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(header ?? '');
  if (!match) return undefined;
  const [, version, traceId, spanId, flags, rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined;
  const span = { traceId: traceId!, spanId: spanId!, traceFlags: Number.parseInt(flags!, 16) & TraceFlags.SAMPLED, isRemote: true };
  return isSpanContextValid(span) ? span : undefined;
}

/** `00-<trace id>-<span id>-<flags>`. */
export function formatTraceparent(span: SpanContext): string {
  return `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;
}

/** Makes a new span in the parent's trace, or in a new trace. */
export function childSpan(parent: SpanContext | undefined): SpanContext {
  return {
    traceId: parent?.traceId ?? randomBytes(16).toString('hex'),
    spanId: randomBytes(8).toString('hex'),
    traceFlags: parent?.traceFlags ?? TraceFlags.NONE,
  };
}

/** The current span: that of runWithSpan, or else that of the OpenTelemetry SDK; undefined if there is none. */
export function activeSpan(): SpanContext | undefined {
  return active.getStore() ?? trace.getSpanContext(context.active());
}

/** Runs `work`, and everything asynchronous that it starts, inside `span`. */
export function runWithSpan<T>(span: SpanContext, work: () => T): T {
  return active.run(span, work);
}
