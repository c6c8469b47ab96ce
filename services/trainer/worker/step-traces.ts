/**
 * Which steps of an attempt are recorded, and in which trace. The first ones belong to the trace of the run. Each later one is a trace of its own, as the
 * sampler decides, so that the trace of a run that lasts for days stays small. Batches are fetched before their step begins: it is decided when the
 * first batch of a step is requested, and the step names its batches by links.
 */
import { type Span, startSpan } from '#telemetry/spans.js';
import type { SpanContext } from '#telemetry/tracing.js';

/** Number of steps of an attempt that belong to the trace of the run. */
const stepsInRun = 2;
/** Number of steps that may be under way; those whose batches are fetched ahead are fewer. */
const mostUnderWay = 1024;

export interface StepTracesOptions {
  readonly attempt: SpanContext;
  readonly project: string;
  readonly run: string;
  readonly fromStep: number;
}

export class StepTraces {
  /** Roots of the steps under way that have traces of their own, in the order of the steps. */
  readonly #roots = new Map<number, Span>();

  constructor(private readonly options: StepTracesOptions) {}

  /** The parent of what is done for a step. */
  parentOf(step: number): SpanContext {
    const { attempt, fromStep, project, run } = this.options;
    if (step < fromStep + stepsInRun) return attempt;
    const known = this.#roots.get(step);
    if (known) return known.context;
    const attributes = { 'dropstream.project': project, 'dropstream.run': run, 'dropstream.step': step };
    const root = startSpan('step with its batches', { parent: 'none', attributes });
    root.link(attempt);
    this.#roots.set(step, root);
    if (this.#roots.size > mostUnderWay) this.end(this.#roots.keys().next().value as number);
    return root.context;
  }

  /** Begins the span of a step, which the caller ends before end(). */
  begin(step: number): Span {
    return startSpan('step', { parent: this.parentOf(step), attributes: { 'dropstream.run': this.options.run, 'dropstream.step': step } });
  }

  /** Everything for the step is done. */
  end(step: number): void {
    this.#roots.get(step)?.end();
    this.#roots.delete(step);
  }

  /** Ends what is left: steps whose batches were fetched and that were not computed. */
  close(): void {
    for (const step of [...this.#roots.keys()]) this.end(step);
  }
}
