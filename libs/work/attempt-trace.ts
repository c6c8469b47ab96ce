/**
 * The spans of one attempt: that of its claim, and below it that of the attempt itself. An attempt may last for days, so what it does all the time
 * (heartbeats, records of steps, calls) is not recorded one by one: it runs in the trace of the attempt, but unsampled. Parts that are worth a span
 * name the attempt's own span as their parent.
 */
import { failWith, type Span, startSpan } from '#telemetry/spans.js';
import { runWithSpan, type SpanContext, unsampled } from '#telemetry/tracing.js';
import type { QueueEntry } from './queue-index.js';

export class AttemptTrace {
  readonly #claim: Span;
  readonly #attempt: () => Span;
  #running: Span | undefined;

  /** @param kind `run` or `evaluation` @param parent the call that asked for the work */
  constructor(
    private readonly kind: string,
    { project, id, uid }: QueueEntry,
    parent: SpanContext | undefined,
  ) {
    const attributes = { 'dropstream.project': project, [`dropstream.${kind}`]: id, [`dropstream.${kind}.uid`]: uid };
    this.#claim = startSpan(`claim ${kind}`, { parent: parent ?? 'none', attributes });
    this.#attempt = () => startSpan(`attempt of ${kind}`, { parent: this.#claim.context, attributes });
  }

  /** For the lines of logs. */
  get ids(): { readonly trace_id: string; readonly span_id: string } {
    const { traceId, spanId } = this.#claim.context;
    return { trace_id: traceId, span_id: spanId };
  }

  async claims<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await runWithSpan(this.#claim.context, work);
    } catch (error) {
      failWith(this.#claim, error);
      throw error;
    } finally {
      this.#claim.end();
    }
  }

  /** @param work resolves to the outcome of the attempt */
  async runs(work: (span: SpanContext) => Promise<string>): Promise<string> {
    const span = this.#attempt();
    this.#running = span;
    try {
      const outcome = await runWithSpan(unsampled(span.context), () => work(span.context));
      span.set({ [`dropstream.${this.kind}.outcome`]: outcome });
      return outcome;
    } catch (error) {
      failWith(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  /** Passes on what the attempt comes to, and takes its error into the span. */
  async fails<T>(attempt: Promise<T>): Promise<T> {
    return await attempt.catch((error: unknown) => {
      if (this.#running) failWith(this.#running, error);
      throw error;
    });
  }
}
