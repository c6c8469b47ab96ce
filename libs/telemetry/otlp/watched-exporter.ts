/** Says in the log that spans do not arrive: at the first failure, then ever more rarely, and when they arrive again. Nothing else is affected. */
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { Logger } from '../logger.js';

/** Pause between two warnings in ms; it doubles. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;

type Export = Parameters<SpanExporter['export']>;

export class WatchedExporter implements SpanExporter {
  #lost = 0;
  #warnAt = Number.NEGATIVE_INFINITY;
  #pauseMs = FIRST_PAUSE_MS;

  constructor(
    private readonly inner: SpanExporter,
    private readonly logger: Logger,
  ) {}

  export(spans: ReadableSpan[], done: Export[1]): void {
    this.inner.export(spans, (result) => {
      // 0: the spans have arrived.
      if (result.code === 0) this.#arrived();
      else this.#failed(spans.length, result.error);
      done(result);
    });
  }

  shutdown(): Promise<void> {
    return this.inner.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.inner.forceFlush?.();
  }

  #failed(spans: number, error: Error | undefined): void {
    this.#lost += spans;
    const now = performance.now();
    if (now < this.#warnAt) return;
    this.logger.warn(
      { error: error?.message, spans_lost: this.#lost },
      'the trace collector does not take spans; nothing else is affected',
    );
    this.#warnAt = now + this.#pauseMs;
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs);
  }

  #arrived(): void {
    if (this.#lost === 0) return;
    this.logger.info({ spans_lost: this.#lost }, 'the trace collector takes spans again');
    this.#lost = 0;
    this.#warnAt = Number.NEGATIVE_INFINITY;
    this.#pauseMs = FIRST_PAUSE_MS;
  }
}
