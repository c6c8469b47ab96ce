/** The logs of several runs, as far as they are. One call at a time reads up to the newest record and ends: a browser opens few connections. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { stream } from '../api/stream.js';
import type { Event } from '../api/watch-run.js';
import { RunHistory } from '../history/run-history.js';

export interface Compared {
  readonly name: string;
  readonly run: Json<Run> | undefined;
  readonly history: RunHistory | undefined;
  readonly error: Error | undefined;
}

const EVERY_MS = 4000;
/** What a log has in that time is kept, and the next round goes on behind it. */
const READ_MS = 60_000;

/** @returns the runs in the order of `names`, and a number that changes whenever more was read */
export function useHistories(names: readonly string[]): { readonly compared: readonly Compared[]; readonly version: number } {
  const known = useRef(new Map<string, Compared>());
  const [version, setVersion] = useState(0);
  const key = names.join();
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const round = async () => {
      for (const name of names) {
        if (end.signal.aborted) return;
        const before = known.current.get(name);
        const now = await readOne(name, before, end.signal);
        if (end.signal.aborted) return;
        known.current.set(name, now);
        if (now !== before) setVersion((n) => n + 1);
      }
      timer = setTimeout(() => void round(), EVERY_MS);
    };
    void round();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [key]);
  return {
    compared: names.map((name) => known.current.get(name) ?? { name, run: undefined, history: undefined, error: undefined }),
    version,
  };
}

/** The same object if nothing has changed. */
async function readOne(name: string, before: Compared | undefined, signal: AbortSignal): Promise<Compared> {
  let [run, history] = [before?.run, before?.history];
  try {
    run = (await call('TrainerService/GetRun', { name }, { signal })).run;
    const kept = before?.run?.uid === run?.uid ? history : undefined;
    const target = BigInt(run?.logSequence ?? '0');
    // A run that waits says nothing for long, so nothing is awaited that is there already.
    if (kept !== undefined && BigInt(kept.sequence) >= target)
      return before?.error === undefined ? before! : { name, run, history: kept, error: undefined };
    history = kept ?? new RunHistory(num(run?.stepsPerEpoch));
    const enough = new AbortController();
    const until = AbortSignal.any([signal, enough.signal, AbortSignal.timeout(READ_MS)]);
    const request = { name, uid: run?.uid, afterSequence: history.sequence };
    for await (const messages of stream('TrainerService/WatchRun', request, until)) {
      for (const { event } of messages) if (event !== undefined) history.take(event as Event);
      if (BigInt(history.sequence) >= target) break;
    }
    enough.abort();
    return { name, run, history, error: undefined };
  } catch (error) {
    return { name, run, history, error: error as Error };
  }
}
