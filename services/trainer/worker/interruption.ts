/** Requests to leave off between two steps: the run is to be paused, or this worker stops. */
import type { AttemptOptions } from './attempt-context.js';

/** Why training leaves off between two steps. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  constructor(readonly kind: 'paused' | 'stopped') {
    super(kind);
  }
}

const lookEveryMs = 100;

export class Interruption {
  readonly #interrupt = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** Aborts with Interrupted, or with the end of the claim. */
  readonly signal: AbortSignal;

  /** Whoever makes it closes it. */
  constructor({ claimed, stopping }: Pick<AttemptOptions, 'claimed' | 'stopping'>) {
    const look = (): void => {
      if (stopping.aborted) this.#interrupt.abort(new Interrupted('stopped'));
      else if (claimed.view.run.pauseRequested) this.#interrupt.abort(new Interrupted('paused'));
    };
    look();
    this.#timer = setInterval(look, lookEveryMs);
    this.signal = AbortSignal.any([claimed.signal, this.#interrupt.signal]);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
