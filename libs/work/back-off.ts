/** How long work that failed without progress waits, and after how many attempts it fails for good. */

export interface BackOffPolicy {
  /** Wait after the first attempt without progress, in milliseconds; it doubles each time. */
  readonly firstMs: number;
  /** Longest wait in milliseconds; default 5 minutes. */
  readonly maxMs?: number;
  /** Number of attempts without progress after which the work has failed. */
  readonly maxAttempts: number;
}

/** Milliseconds to wait after this number of attempts without progress; 0 after none. */
export function backOffMs({ firstMs, maxMs = 300_000 }: BackOffPolicy, fruitlessAttempts: number): number {
  return fruitlessAttempts <= 0 ? 0 : Math.min(maxMs, firstMs * 2 ** Math.min(30, fruitlessAttempts - 1));
}
