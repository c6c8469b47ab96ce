/** Watches for requests to stop training: a pause of the run, which is looked for now and then, or a stop of the worker, which is known at once. */
import type { AttemptOptions } from './attempt-context.js';

/** Training was stopped; the program is as it was between two steps. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  /** `short`: the run is given back, because it has fewer workers than it needs. */
  constructor(readonly kind: 'paused' | 'stopped' | 'short') {
    super(kind);
  }
}

const lookEveryMs = 100;

export class Interruption {
  readonly #interrupt = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #unlisten: () => void;
  /** Aborts with Interrupted, or with the end of the claim. */
  readonly signal: AbortSignal;

  /** The creator must call close(). */
  constructor({ claimed, stopping }: Pick<AttemptOptions, 'claimed' | 'stopping'>) {
    const look = (): void => {
      if (stopping.aborted) this.#interrupt.abort(new Interrupted('stopped'));
      else if (claimed.view.run.pauseRequested) this.#interrupt.abort(new Interrupted('paused'));
    };
    look();
    this.#timer = setInterval(look, lookEveryMs);
    stopping.addEventListener('abort', look, { once: true });
    this.#unlisten = () => stopping.removeEventListener('abort', look);
    this.signal = AbortSignal.any([claimed.signal, this.#interrupt.signal]);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#unlisten();
  }
}
