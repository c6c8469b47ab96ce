/**
 * Health says what a service needs for its own calls (readiness does not): a probe of that, at intervals, moves the gRPC health status.
 * It takes several failures in a row to turn NOT_SERVING, one success to turn back, so that a single slow answer does not empty a pool.
 */

export interface HealthProbeOptions {
  /** Resolves where what the service needs is there, e.g. one page of a listing. */
  readonly probe: (signal: AbortSignal) => Promise<unknown>;
  /** Called on changes only; the service starts as serving. */
  readonly setServing: (serving: boolean) => void;
  readonly onFailure: (error: unknown, inARow: number) => void;
  /** Default 5000. */
  readonly intervalMs?: number;
  /** Longest a probe may take; default 4000. */
  readonly timeoutMs?: number;
  /** Failures in a row until NOT_SERVING; default 2. */
  readonly failures?: number;
}

/** Starts probing; the caller closes it. */
export function startHealthProbe({ probe, setServing, onFailure, intervalMs = 5000, timeoutMs = 4000, failures = 2 }: HealthProbeOptions): {
  close(): void;
} {
  const closing = new AbortController();
  let inARow = 0;
  let timer = setTimeout(look, intervalMs);

  async function attempt(): Promise<void> {
    try {
      await probe(AbortSignal.any([closing.signal, AbortSignal.timeout(timeoutMs)]));
      if (closing.signal.aborted) return;
      if (inARow >= failures) setServing(true);
      inARow = 0;
    } catch (error) {
      if (closing.signal.aborted) return;
      inARow++;
      onFailure(error, inARow);
      if (inARow === failures) setServing(false);
    }
  }
  function look(): void {
    // The next one is set only when this one has ended: a slow store must not pile probes up.
    void attempt().finally(() => {
      if (!closing.signal.aborted) timer = setTimeout(look, intervalMs);
    });
  }
  return {
    close: () => {
      closing.abort();
      clearTimeout(timer);
    },
  };
}
