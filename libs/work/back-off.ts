/** How long work that fails without getting further has to wait, and when to give it up. */

export interface BackOffPolicy {
  /** Wait after the first fruitless attempt, milliseconds; doubled each time. */
  readonly firstMs: number;
  /** Longest wait; default 5 minutes. */
  readonly maxMs?: number;
  /** Fruitless attempts after which the work has failed. */
  readonly maxAttempts: number;
}

/** Milliseconds to wait after so many fruitless attempts; 0 after none. */
export function backOffMs({ firstMs, maxMs = 300_000 }: BackOffPolicy, fruitlessAttempts: number): number {
  return fruitlessAttempts <= 0 ? 0 : Math.min(maxMs, firstMs * 2 ** Math.min(30, fruitlessAttempts - 1));
}
