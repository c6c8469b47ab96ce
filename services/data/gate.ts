/** Lets work in while a sum of amounts stays within a capacity; the rest waits its turn, in order, up to a bound. */
import { ResourceExhausted } from '#rpc/errors.js';

interface Waiter {
  readonly amount: number;
  readonly enter: () => void;
}

export class Gate {
  #held = 0;
  readonly #queue: Waiter[] = [];

  constructor(
    /** For messages, with its unit: `bytes of batches`. */
    readonly what: string,
    readonly capacity: number,
    readonly maxWaiting: number,
  ) {}

  get held(): number {
    return this.#held;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /**
   * Resolves when it is this caller's turn; what it resolves to must be called once, later calls do nothing.
   * @throws ResourceExhausted when the amount can never fit or too many wait; the signal's reason
   */
  async enter(amount: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (amount > this.capacity) throw new ResourceExhausted(`${this.what}: one call needs ${amount}, which`, String(this.capacity));
    if (this.#queue.length > 0 || this.#held + amount > this.capacity) await this.#wait(amount, signal);
    else this.#held += amount;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#held -= amount;
      this.#admit();
    };
  }

  #wait(amount: number, signal: AbortSignal): Promise<void> {
    if (this.#queue.length >= this.maxWaiting)
      throw new ResourceExhausted(`${this.what}: the queue`, `${this.capacity}, with ${this.maxWaiting} calls waiting`);
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        // Whoever waited behind a large amount may fit now.
        this.#admit();
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        amount,
        enter: () => {
          signal.removeEventListener('abort', abort);
          resolve();
        },
      };
      this.#queue.push(waiter);
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  #admit(): void {
    for (let next = this.#queue[0]; next && this.#held + next.amount <= this.capacity; next = this.#queue[0]) {
      this.#queue.shift();
      // Counted here, not by the waiter: nobody may slip in before it runs.
      this.#held += next.amount;
      next.enter();
    }
  }
}
