/**
 * The delay of this process's event loop, phase by phase: how late a timer of 1 ms fires. monitorEventLoopDelay would lose, or count to the
 * next phase, a block that ends in the very turn in which the phase changes; here it is counted to the phase that it began in.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

export interface PhaseDelay {
  readonly seconds: number;
  /** Milliseconds beyond the timer's own. */
  readonly maxMs: number;
  readonly p999Ms: number;
  readonly p99Ms: number;
  readonly p50Ms: number;
}

/** In milliseconds of `monotonicMs`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** A delay that is looked at by itself. */
export interface Late extends Span {
  readonly phase: string;
}

const LATE_MS = 10;

/** A clock that all processes of the machine share. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6;

const everyMs = 1;

export class LoopDelay {
  readonly #phases = new Map<string, { readonly delays: RecordableHistogram; ms: number }>();
  readonly #timer: NodeJS.Timeout;
  readonly lates: Late[] = [];
  #phase = '';
  #closed = false;
  #last = monotonicMs();

  /** Whoever starts it closes it. */
  constructor(phase: string) {
    this.#enter(phase);
    this.#timer = setInterval(() => this.#record(), everyMs);
  }

  /** Ends the phase under way; one that comes again is continued. */
  begin(phase: string): void {
    this.#record();
    this.#enter(phase);
  }

  /** In the order in which the phases first began. */
  close(): Record<string, PhaseDelay> {
    this.#record();
    clearInterval(this.#timer);
    this.#closed = true;
    const rounded = (value: number): number => Math.round(10 * value) / 10;
    const delay = ({ delays, ms }: { delays: RecordableHistogram; ms: number }): PhaseDelay => ({
      seconds: rounded(ms / 1000),
      maxMs: rounded(delays.max / 1e3),
      p999Ms: rounded(delays.percentile(99.9) / 1e3),
      p99Ms: rounded(delays.percentile(99) / 1e3),
      p50Ms: rounded(delays.percentile(50) / 1e3),
    });
    return Object.fromEntries([...this.#phases].map(([phase, seen]) => [phase, delay(seen)]));
  }

  #enter(phase: string): void {
    this.#phase = phase;
    if (!this.#phases.has(phase)) this.#phases.set(phase, { delays: createHistogram(), ms: 0 });
  }

  #record(): void {
    // Whoever is measured may still tell of phases while it ends.
    if (this.#closed) return;
    const now = monotonicMs();
    const seen = this.#phases.get(this.#phase)!;
    const due = this.#last + everyMs;
    seen.ms += now - this.#last;
    // Microseconds, at least 1.
    seen.delays.record(Math.max(1, Math.round(1000 * (now - due))));
    if (now - due >= LATE_MS) this.lates.push({ phase: this.#phase, from: due, to: now });
    this.#last = now;
  }
}
