/**
 * W3C trace context through the services: a `traceparent` is read from a call's metadata, or a new one is made. Its ids are in every log line of the
 * call, and outgoing calls pass it on. If the host program has an OpenTelemetry SDK with an active span, that span is the parent. Ids are random; no
 * result depends on them.
 *
 * Whoever begins a trace decides whether its spans are recorded, and says so in the flags. A process that records nothing cannot decide, but its ids
 * are wanted in logs, so it passes on that the decision is open (`undecided`, in the tracestate): the first process that records spans makes it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomBytes } from 'node:crypto';
import { context, createTraceState, isSpanContextValid, type SpanContext, TraceFlags, type TraceState, trace } from '@opentelemetry/api';

export type { SpanContext } from '@opentelemetry/api';

const traceparentKey = 'traceparent';
const tracestateKey = 'tracestate';

/** Longest tracestate that is read; the standard asks for 512 characters at least. */
const maxTracestate = 512;
const ownKey = 'dropstream';
const open = 'undecided';
const undecidedText = `${ownKey}=${open}`;
const undecided = createTraceState(undecidedText);

/** Whether nobody has decided yet if the trace is recorded. */
export function isUndecided({ traceFlags, traceState }: SpanContext): boolean {
  return (traceFlags & TraceFlags.SAMPLED) === 0 && traceState?.get(ownKey) === open;
}

/** The state of a trace after the decision. */
export function decided(state: TraceState | undefined): TraceState | undefined {
  return state?.get(ownKey) === undefined ? state : state.unset(ownKey);
}

/** True if spans of this trace are recorded. */
export function isSampled(span: SpanContext | undefined): span is SpanContext {
  return span !== undefined && (span.traceFlags & TraceFlags.SAMPLED) !== 0;
}

/** The same place in the trace, for work whose own parts are not recorded. */
export function unsampled(span: SpanContext): SpanContext {
  return { ...span, traceFlags: span.traceFlags & ~TraceFlags.SAMPLED };
}

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

/** Reads the context that the metadata of a call carries. */
export function receivedSpan(read: (key: string) => string | undefined): SpanContext | undefined {
  const span = parseTraceparent(read(traceparentKey));
  const state = span && read(tracestateKey);
  if (!span || !state || state.length > maxTracestate) return span;
  return { ...span, traceState: state === undecidedText ? undecided : createTraceState(state) };
}

/** What the metadata of a call carries of a span. */
export function carried(span: SpanContext): Record<string, string> {
  const { traceparent, tracestate } = recorded(span);
  return { [traceparentKey]: traceparent, ...(tracestate ? { [tracestateKey]: tracestate } : {}) };
}

/** A span as a record holds it, for work that is done later and elsewhere. Both are empty if there is none. */
export interface RecordedSpan {
  readonly traceparent: string;
  readonly tracestate: string;
}

export function recorded(span: SpanContext | undefined): RecordedSpan {
  const state = span?.traceState;
  return { traceparent: span ? formatTraceparent(span) : '', tracestate: state === undecided ? undecidedText : (state?.serialize() ?? '') };
}

/** Undefined for a record without a span, as those of older versions are. */
export function spanOfRecord(record: RecordedSpan | undefined): SpanContext | undefined {
  return record && receivedSpan((key) => (key === traceparentKey ? record.traceparent : record.tracestate));
}

/** Makes a new span in the parent's trace, or in a new trace whose recording is left to others. */
export function childSpan(parent: SpanContext | undefined): SpanContext {
  const traceState = parent === undefined ? undecided : parent.traceState;
  return {
    traceId: parent?.traceId ?? newTraceId(),
    spanId: newSpanId(),
    traceFlags: parent?.traceFlags ?? TraceFlags.NONE,
    ...(traceState === undefined ? {} : { traceState }),
  };
}

export const newTraceId = (): string => randomBytes(16).toString('hex');
export const newSpanId = (): string => randomBytes(8).toString('hex');

/** The current span: that of runWithSpan, or else that of the OpenTelemetry SDK; undefined if there is none. */
export function activeSpan(): SpanContext | undefined {
  return active.getStore() ?? trace.getSpanContext(context.active());
}

/** Runs `work`, and everything asynchronous that it starts, inside `span`. */
export function runWithSpan<T>(span: SpanContext, work: () => T): T {
  return active.run(span, work);
}
