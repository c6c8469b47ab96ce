/**
 * What becomes of the step under way when its worker stops. It may end if that takes no longer than a budget, by the time that the step before it took;
 * otherwise it is cancelled at once, and in any case when the budget is over. A cancelled step has changed nothing (engine/executable.ts), so that the
 * next worker does it again from the same state, with the same bits.
 */
export interface StepUnderWayOptions {
  /** Aborts when the worker stops. */
  readonly stopping: AbortSignal;
  /** Milliseconds that a step may go on after that. */
  readonly budgetMs: number;
  /** Ends the step, which rejects unless it has begun to change weights. */
  readonly cancel: () => void;
}

export class StepUnderWay {
  readonly #options: StepUnderWayOptions;
  #begunMs: number | undefined;
  /** Milliseconds that the last step took; undefined before the first one has ended. */
  #usualMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cancelled = false;

  /** The creator must call close(). */
  constructor(options: StepUnderWayOptions) {
    this.#options = options;
    options.stopping.addEventListener('abort', this.#stop, { once: true });
  }

  /** Whether a step was asked to end before its time. */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** Runs a step. One at a time. */
  async during<T>(step: () => Promise<T>): Promise<T> {
    const begunMs = performance.now();
    this.#begunMs = begunMs;
    try {
      const running = step();
      if (this.#options.stopping.aborted) this.#stop();
      const result = await running;
      this.#usualMs = performance.now() - begunMs;
      return result;
    } finally {
      this.#begunMs = undefined;
      clearTimeout(this.#timer);
    }
  }

  close(): void {
    this.#options.stopping.removeEventListener('abort', this.#stop);
    clearTimeout(this.#timer);
  }

  readonly #stop = (): void => {
    if (this.#begunMs === undefined) return;
    const { budgetMs, cancel } = this.#options;
    const end = (): void => {
      this.#cancelled = true;
      cancel();
    };
    const expectedMs = this.#usualMs === undefined ? 0 : this.#begunMs + this.#usualMs - performance.now();
    if (expectedMs > budgetMs) end();
    else this.#timer = setTimeout(end, budgetMs);
  };
}
