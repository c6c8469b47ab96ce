/** A hook that loads something, again at intervals and after failures, and keeps what it had while a service is away. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { useStore } from '../widgets/store.js';
import { mayPass } from './rpc-error.js';
import { token } from './token.js';

export interface Loaded<T> {
  /** The newest answer; undefined before the first one. */
  readonly data: T | undefined;
  /** Why the newest attempt failed; undefined after a success. */
  readonly error: Error | undefined;
  /** Loads once more, now. */
  readonly reload: () => void;
}

const RETRY_MS = 2000;

/** `key`: what `load` depends on; with another key, what was loaded is forgotten. `everyMs`: undefined loads once. */
export function useCall<T>(load: (signal: AbortSignal) => Promise<T>, key: readonly unknown[], everyMs?: number): Loaded<T> {
  const [state, setState] = useState<{ key: string; data?: T | undefined; error?: Error | undefined }>({ key: '' });
  const [round, setRound] = useState(0);
  const who = useStore(token);
  const latest = useRef(load);
  latest.current = load;
  const id = JSON.stringify([who, ...key]);
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const again = (ms: number | undefined) => {
      if (!end.signal.aborted && ms !== undefined) timer = setTimeout(() => void attempt(), ms);
    };
    const attempt = async (): Promise<void> => {
      // A hidden tab asks for nothing.
      if (document.hidden && everyMs !== undefined) return again(everyMs);
      try {
        const data = await latest.current(end.signal);
        if (!end.signal.aborted) setState({ key: id, data });
        again(everyMs);
      } catch (error) {
        if (end.signal.aborted) return;
        setState((before) => ({ key: id, data: before.key === id ? before.data : undefined, error: error as Error }));
        again(mayPass(error) ? RETRY_MS : everyMs);
      }
    };
    void attempt();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [id, everyMs, round]);
  const reload = useCallback(() => setRound((n) => n + 1), []);
  const current = state.key === id ? state : undefined;
  return { data: current?.data, error: current?.error, reload };
}

/** Loads once more whenever `value` changes; what is there stays until then. */
export function useReloadOn(value: unknown, reload: () => void): void {
  const known = useRef(value);
  useEffect(() => {
    if (known.current !== value) reload();
    known.current = value;
  }, [value]);
}
