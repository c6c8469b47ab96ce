/** What several runs have done, as far as they are. One call at a time reads up to the newest record and ends: a browser opens few connections. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { stream } from '../api/stream.js';
import type { Event } from '../api/watch-run.js';
import { RunHistory } from '../history/run-history.js';
import { seriesPoints } from '../history/series-columns.js';
import { beginHistory, isLong } from '../run/begin-history.js';
import { readSeries } from '../run/read-series.js';
import type { Points } from '../series/downsample.js';
import type { Compared } from './compared-lines.js';

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
        const before = known.current.get(name) ?? unread(name);
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
    compared: names.map((name) => known.current.get(name) ?? unread(name)),
    version,
  };
}

/** The same object if nothing has changed. */
async function readOne(name: string, before: Compared, signal: AbortSignal): Promise<Compared> {
  let known = before;
  try {
    const { run } = await call('TrainerService/GetRun', { name }, { signal });
    if (run?.uid !== known.run?.uid) known = unread(name);
    const target = BigInt(run?.logSequence ?? '0');
    // A run that waits says nothing for long, so nothing is awaited that is there already.
    if (known.history !== undefined && BigInt(known.history.sequence) >= target)
      return known.error === undefined ? known : { ...known, run, error: undefined };
    known = { ...known, run, error: undefined, ...(known.history === undefined && run !== undefined && (await begin(run, signal))) };
    const { history } = known;
    if (history === undefined) return known;
    const enough = new AbortController();
    const until = AbortSignal.any([signal, enough.signal, AbortSignal.timeout(READ_MS)]);
    const request = { name, uid: run?.uid, afterSequence: history.sequence };
    for await (const messages of stream('TrainerService/WatchRun', request, until)) {
      for (const { event } of messages) if (event !== undefined) history.take(event as Event);
      if (BigInt(history.sequence) >= target) break;
    }
    enough.abort();
    return { ...known };
  } catch (error) {
    return { ...known, error: error as Error };
  }
}

/** The curves of a long run come thinned from the trainer, and its log is read from near its end on. */
async function begin(run: Json<Run>, signal: AbortSignal): Promise<Pick<Compared, 'history' | 'column'>> {
  const history = new RunHistory(num(run.stepsPerEpoch));
  const { steps } = history;
  if (!isLong(run)) return { history, column: (column) => ({ x: steps.steps, y: steps.column(column) }) };
  const series = await readSeries(run.name ?? '', undefined, signal);
  history.sequence = await beginHistory(history, run, signal);
  return { history, column: (column) => seriesPoints(series, column, steps) };
}

const noPoints: Points = { x: new Float64Array(), y: new Float64Array() };

const unread = (name: string): Compared => ({ name, run: undefined, history: undefined, column: () => noPoints, error: undefined });
