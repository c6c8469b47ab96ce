/** What is wanted of each part that this service knows about: read from its source when somebody asks, and at intervals while somebody watches. */
import { FailedPrecondition, Unavailable } from '#errors/errors.js';
import { type Change, ChangeFeed } from '#rpc/change-feed.js';
import type { Scaled, ScaledPart } from './scaled-part.js';
import type { ScalerMetrics } from './scaler-metrics.js';

/** How much of the metric of a part is wanted now, before the limit of replicas. */
export type WantedOf = (scaled: Scaled, signal: AbortSignal) => Promise<number>;

export interface ScalerOptions {
  readonly sources: Partial<Readonly<Record<ScaledPart, WantedOf>>>;
  /** What to do about a part without a source, as the end of a sentence. */
  readonly otherwise: string;
  readonly metrics: ScalerMetrics;
  /** Milliseconds between looks for open streams. */
  readonly pollMs: number;
  readonly onError: (error: unknown) => void;
}

/** How long one look may take, in ms; KEDA asks every few seconds. */
const lookMs = 10_000;
/** Number of open streams. */
const maxStreams = 256;

export class Scaler {
  readonly #options: ScalerOptions;
  readonly #feed: ChangeFeed<boolean>;
  /** By key of what is watched. */
  readonly #active = new Map<string, { readonly scaled: Scaled; change: Change<boolean>; streams: number }>();

  constructor(options: ScalerOptions) {
    this.#options = options;
    // All series start at 0, so that increases include the first error.
    for (const part of Object.keys(options.sources)) options.metrics.errors.inc({ part }, 0);
    const { pollMs, onError } = options;
    const look = async (key: string, signal: AbortSignal): Promise<Change<boolean>> => {
      const watched = this.#active.get(key)!;
      return this.#note(key, (await this.wanted(watched.scaled, signal)) > 0);
    };
    this.#feed = new ChangeFeed<boolean>({ what: 'StreamIsActive', look, pollMs, maxWatches: maxStreams, onError });
  }

  /** @throws FailedPrecondition for a part that this service knows nothing about; Unavailable; errors of the source */
  async wanted(scaled: Scaled, signal: AbortSignal): Promise<number> {
    const { part, targetPerReplica, maxReplicas } = scaled;
    const { sources, metrics, otherwise } = this.#options;
    const source = sources[part];
    if (source === undefined) throw new FailedPrecondition('part', part, `this service knows nothing about it: ${otherwise}`);
    const late = AbortSignal.timeout(lookMs);
    try {
      const found = await source(scaled, AbortSignal.any([signal, late]));
      metrics.wanted.set({ part }, found);
      return Math.min(found, maxReplicas * targetPerReplica);
    } catch (error) {
      if (signal.aborted) throw error;
      metrics.errors.inc({ part });
      throw late.aborted ? new Unavailable(`what is known about ${part}`, 1000, { cause: error }) : error;
    }
  }

  /** Yields whether anything is wanted: at once, and after every change. Ends with the signal. */
  async *isActive(scaled: Scaled, signal: AbortSignal): AsyncGenerator<boolean, void, void> {
    const leave = this.#feed.enter();
    const key = JSON.stringify([scaled.part, scaled.targetPerReplica]);
    const watched = this.#active.get(key) ?? { scaled, change: { number: 0, value: false }, streams: 0 };
    this.#active.set(key, watched);
    watched.streams++;
    try {
      let { number, value } = this.#note(key, (await this.wanted(scaled, signal)) > 0);
      for (let sent: boolean | undefined; ; ) {
        // It may have changed twice since.
        if (value !== sent) yield value;
        sent = value;
        ({ number, value } = await this.#feed.changed(key, number, signal));
      }
    } finally {
      leave();
      if (--watched.streams === 0) this.#active.delete(key);
    }
  }

  /** An open stream that sends nothing more. @throws ResourceExhausted; the signal's reason */
  async holdOpen(signal: AbortSignal): Promise<void> {
    const leave = this.#feed.enter();
    try {
      if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    } finally {
      leave();
    }
    throw signal.reason;
  }

  close(): void {
    this.#feed.close();
  }

  #note(key: string, active: boolean): Change<boolean> {
    const watched = this.#active.get(key);
    if (watched === undefined) return { number: 0, value: active };
    const { number, value } = watched.change;
    if (number === 0 || value !== active) watched.change = { number: number + 1, value: active };
    this.#feed.notify(key, watched.change);
    return watched.change;
  }
}
