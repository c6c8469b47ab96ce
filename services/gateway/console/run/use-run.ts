/** A run and what its log says, live. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { watchRun } from '../api/watch-run.js';
import { RunHistory } from '../history/run-history.js';

export interface LiveRun {
  readonly run: Json<Run> | undefined;
  readonly history: RunHistory | undefined;
  /** Changes with every part of the log that arrived. */
  readonly version: number;
  /** Why the run cannot be read now. */
  readonly error: Error | undefined;
  /** Whether the log up to the run's newest record has been read. */
  readonly complete: boolean;
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
  const [version, setVersion] = useState(0);
  const [trouble, setTrouble] = useState<Error | undefined>();
  const history = useRef<RunHistory | undefined>(undefined);
  const uid = data?.uid;
  const stepsPerEpoch = num(data?.stepsPerEpoch);
  // A run that had ended and was resumed or recreated has a new log or a longer one, which the stream must follow.
  const [round, setRound] = useState(0);
  const behind = data !== undefined && BigInt(data.logSequence ?? '0') > BigInt(history.current?.sequence ?? '0');
  const watching = useRef(false);
  useEffect(() => {
    if (behind && !watching.current) setRound((n) => n + 1);
  }, [data]);
  useEffect(() => {
    if (uid === undefined) return;
    const end = new AbortController();
    history.current = new RunHistory(stepsPerEpoch);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const drawSoon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        setVersion((n) => n + 1);
      }, DRAW_MS);
    };
    const follow = async () => {
      watching.current = true;
      const from = history.current!;
      try {
        for await (const events of watchRun({ name, uid, after: '0', onTrouble: setTrouble }, end.signal)) {
          for (const event of events) from.take(event);
          drawSoon();
          if (events.some(({ steps }) => steps === undefined)) reload();
        }
      } catch (failure) {
        if (!end.signal.aborted) setTrouble(failure as Error);
      } finally {
        if (!end.signal.aborted) watching.current = false;
      }
    };
    void follow();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [name, uid, round]);
  const complete = !behind && history.current !== undefined;
  return { run: data, history: history.current, version, error: error ?? trouble, complete, reload };
}
