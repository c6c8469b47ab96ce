/** A run and what its log says, live. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { seenRun } from '../api/seen-runs.js';
import { useCall } from '../api/use-call.js';
import { watchRun } from '../api/watch-run.js';
import { MOST_LINES, RunHistory } from '../history/run-history.js';
import { beginHistory } from './begin-history.js';
import { readOlder } from './read-older.js';

export interface LiveRun {
  readonly run: Json<Run> | undefined;
  readonly history: RunHistory | undefined;
  /** Changes with every part of the log that arrived. */
  readonly version: number;
  /** Why the run cannot be read now. */
  readonly error: Error | undefined;
  /** Whether the log up to the run's newest record has been read. */
  readonly complete: boolean;
  /** Reads older records of a long log; undefined if there are none. @throws RpcError */
  readonly readOlder: (() => Promise<void>) | undefined;
  readonly reload: () => void;
}

const EVERY_MS = 3000;
/** The page is drawn at most this often while events arrive. */
const DRAW_MS = 200;

export function useRun(name: string): LiveRun {
  const { data, error, reload } = useCall(
    async (signal) => (await call('TrainerService/GetRun', { name }, { signal })).run,
    [name],
    EVERY_MS,
  );
  // What the table of runs has shown a moment ago is better than nothing, until the run itself is there.
  const run = data ?? (error === undefined ? seenRun(name) : undefined);
  const log = useLog(name, run, reload);
  // A stream that says nothing new after it broke cannot say that it goes on; but nothing is missing then.
  return { run, ...log, error: error ?? (log.complete ? undefined : log.error), reload };
}

function useLog(name: string, run: Json<Run> | undefined, reload: () => void): Omit<LiveRun, 'run' | 'reload'> {
  const [version, setVersion] = useState(0);
  const [error, setError] = useState<Error | undefined>();
  const [round, setRound] = useState(0);
  const history = useRef<RunHistory | undefined>(undefined);
  const watching = useRef(false);
  const latest = useRef(run);
  latest.current = run;
  const uid = run?.uid;
  const [gone] = useState(() => new AbortController());
  useEffect(() => () => gone.abort(), [gone]);
  useEffect(() => {
    if (latest.current === undefined) return;
    const end = new AbortController();
    const from = new RunHistory(num(latest.current.stepsPerEpoch));
    history.current = from;
    watching.current = true;
    // Curves of a long run do not come from its log, so they are not to wait for it.
    setVersion((n) => n + 1);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const drawSoon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        setVersion((n) => n + 1);
      }, DRAW_MS);
    };
    const follow = async (begun: Json<Run>) => {
      try {
        const after = await beginHistory(from, begun, end.signal);
        for await (const events of watchRun({ name, uid, after, onTrouble: setError }, end.signal)) {
          for (const event of events) from.take(event);
          drawSoon();
          if (events.some(({ steps }) => steps === undefined)) reload();
        }
      } catch (failure) {
        if (!end.signal.aborted) setError(failure as Error);
      } finally {
        if (!end.signal.aborted) watching.current = false;
      }
    };
    void follow(latest.current);
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [name, uid, round]);
  // The stream has ended, but the log has not: the run had ended and goes on, or the stream failed.
  const behind = run !== undefined && BigInt(run.logSequence ?? '0') > BigInt(history.current?.sequence ?? '0');
  useEffect(() => {
    if (behind && !watching.current) setRound((n) => n + 1);
  }, [run]);
  const known = history.current;
  const older = async () => {
    if (known === undefined || latest.current === undefined) return;
    await readOlder(known, latest.current, gone.signal);
    setVersion((n) => n + 1);
  };
  const canRead = known !== undefined && known.unreadUntil > 1 && known.lines.length < MOST_LINES;
  return { history: known, version, error, readOlder: canRead ? older : undefined, complete: !behind && known !== undefined };
}
