/**
 * Spans of what a process does. They are recorded if the process exports traces (start-tracing.ts) and their trace is sampled; otherwise a span has
 * ids for logs and for outgoing calls, and costs nothing more. What a span says passes the same filter as log lines, so that no secret is exported.
 */
import { type Attributes, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { hidePlaces } from '#errors/hide-places.js';
import { redacted } from '#errors/redact.js';
import { activeSpan, childSpan, runWithSpan, type SpanContext } from './tracing.js';

export type SpanAttributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Span {
  readonly context: SpanContext;
  /** False if nobody will see what it is told. */
  readonly recorded: boolean;
  /** Values that are undefined are left out. */
  set(attributes: SpanAttributes): void;
  /** Names a span that the work depends on and that is not its parent. */
  link(context: SpanContext, attributes?: SpanAttributes): void;
  /** Says that the work has failed. `type` is short and one of few: a status, or the name of an error class. */
  fail(type: string, message?: string): void;
  /** Call it once. */
  end(): void;
}

export interface SpanOptions {
  /** Who is at the other side: `client` and `server` of a call, otherwise `internal`, which is the default. */
  readonly kind?: 'internal' | 'client' | 'server';
  /** Default: the span that is active. `none` begins a new trace. */
  readonly parent?: SpanContext | 'none' | undefined;
  readonly attributes?: SpanAttributes;
}

const kinds = { internal: SpanKind.INTERNAL, client: SpanKind.CLIENT, server: SpanKind.SERVER } as const;

let tracer: Tracer | undefined;

/** Makes all further spans of this process go to a tracer, or to none. For start-tracing.ts. */
export function recordWith(chosen: Tracer | undefined): void {
  tracer = chosen;
}

/** True if this process exports spans. */
export const isTracing = (): boolean => tracer !== undefined;

/** Begins a span. The caller ends it. @param name one of few: what is done, without the names of things that it is done to */
export function startSpan(name: string, options: SpanOptions = {}): Span {
  const parent = parentOf(options);
  if (tracer === undefined) return new UnrecordedSpan(childSpan(parent));
  const span = tracer.startSpan(
    name,
    { kind: kinds[options.kind ?? 'internal'], attributes: safe(options.attributes) },
    parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent),
  );
  const spanContext = span.spanContext();
  if (!span.isRecording()) return new UnrecordedSpan(spanContext);
  return {
    context: spanContext,
    recorded: true,
    set: (attributes) => void span.setAttributes(safe(attributes)),
    link: (context, attributes) => void span.addLink({ context, attributes: safe(attributes) }),
    fail: (type, message) => {
      span.setAttribute('error.type', type);
      span.setStatus({ code: SpanStatusCode.ERROR, ...(message === undefined ? {} : { message: hidePlaces(redacted(message)) }) });
    },
    end: () => span.end(),
  };
}

const parentOf = ({ parent }: SpanOptions): SpanContext | undefined => (parent === 'none' ? undefined : (parent ?? activeSpan()));

/** Runs `work` inside a new span, which ends with it. An error that it throws is that of the span. Without traces, it only runs `work`. */
export async function inSpan<T>(name: string, options: SpanOptions, work: (span: Span) => Promise<T>): Promise<T> {
  if (tracer === undefined) return await work(nothing);
  const span = startSpan(name, options);
  try {
    return await runWithSpan(span.context, () => work(span));
  } catch (error) {
    failWith(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** Says with which error the work has failed. */
export function failWith(span: Span, error: unknown): void {
  if (!span.recorded) return;
  if (error instanceof Error) span.fail(error.name, error.message);
  else span.fail('_OTHER', String(error));
}

const nothing: Span = {
  get context() {
    return activeSpan() ?? childSpan(undefined);
  },
  recorded: false,
  set() {},
  link() {},
  fail() {},
  end() {},
};

class UnrecordedSpan implements Span {
  readonly recorded = false;
  constructor(readonly context: SpanContext) {}
  set(): void {}
  link(): void {}
  fail(): void {}
  end(): void {}
}

function safe(attributes: SpanAttributes = {}): Attributes {
  const result: Attributes = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) result[key] = typeof value === 'string' ? redacted(value) : value;
  }
  return result;
}
