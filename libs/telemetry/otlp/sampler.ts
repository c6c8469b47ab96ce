/** Decides which traces are recorded. A trace whose beginning could not decide (tracing.ts) is decided by its id, so that all services agree. */
import { type Attributes, type Context, type Link, type SpanKind, trace } from '@opentelemetry/api';
import { ParentBasedSampler, type Sampler, type SamplingResult, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import { decided, isUndecided } from '../tracing.js';
import type { SamplerSettings } from './settings.js';

export class DecidingSampler implements Sampler {
  readonly #inner: Sampler;

  constructor({ parentBased, ratio }: SamplerSettings) {
    const root = new TraceIdRatioBasedSampler(ratio);
    this.#inner = parentBased ? new ParentBasedSampler({ root }) : root;
  }

  shouldSample(context: Context, traceId: string, name: string, kind: SpanKind, attributes: Attributes, links: Link[]): SamplingResult {
    const parent = trace.getSpanContext(context);
    const open = parent !== undefined && isUndecided(parent);
    const result = this.#inner.shouldSample(open ? trace.deleteSpan(context) : context, traceId, name, kind, attributes, links);
    const traceState = decided(parent?.traceState);
    return traceState === undefined ? result : { ...result, traceState };
  }

  toString(): string {
    return `Deciding(${this.#inner})`;
  }
}
