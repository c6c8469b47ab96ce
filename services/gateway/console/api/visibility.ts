/** Tabs that nobody sees keep no stream open: over HTTP/1.1 a browser opens six connections to a server, for all tabs together. */

/** A tab that is hidden for less long keeps its stream. */
const PATIENCE_MS = 10_000;

/** Resolves when the tab is seen; rejects when the signal is aborted. */
export function seen(signal: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const end = new AbortController();
    const options = { signal: end.signal };
    const finish = (then: () => void) => () => {
      end.abort();
      then();
    };
    signal.addEventListener(
      'abort',
      finish(() => reject(signal.reason)),
      options,
    );
    document.addEventListener('visibilitychange', finish(resolve), options);
  });
}

export interface Unseen {
  /** Aborted when the tab has been hidden for a while. */
  readonly signal: AbortSignal;
  close(): void;
}

export function unseen(): Unseen {
  const hidden = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(() => hidden.abort(), PATIENCE_MS);
  };
  document.addEventListener('visibilitychange', look);
  return {
    signal: hidden.signal,
    close: () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    },
  };
}
