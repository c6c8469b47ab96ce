/**
 * Sets the gRPC health status by probing at intervals what the service's calls depend on (readiness does not include that). The status becomes
 * NOT_SERVING after several failures in a row and SERVING after one success, so that a single slow response does not remove all replicas from a load
 * balancer.
 */

export interface HealthProbeOptions {
  /** Resolves if what the service depends on is available; for example, reads one page of a listing. */
  readonly probe: (signal: AbortSignal) => Promise<unknown>;
  /** Called only when the status changes; the service starts as serving. */
  readonly setServing: (serving: boolean) => void;
  readonly onFailure: (error: unknown, inARow: number) => void;
  /** Pause between probes in ms; default 5000. */
  readonly intervalMs?: number;
  /** Longest duration of a probe in ms; default 4000. */
  readonly timeoutMs?: number;
  /** Number of failures in a row until NOT_SERVING; default 2. */
  readonly failures?: number;
}

/** Starts probing; the caller closes the probe. */
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
    // The next probe is scheduled when this one has ended, so that a slow store does not accumulate probes.
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
