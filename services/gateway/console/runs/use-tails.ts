/** Keeps what the table shows of each run up to date, two calls at a time: a browser opens only six connections to a server. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { evaluationPages } from '../api/evaluation-pages.js';
import { type Json, num } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { stateWord } from '../format/words.js';
import { addScores, type Pace, paceOf, readLoss, type Score, top1Of } from './tail.js';

export interface Tail {
  readonly loss: readonly number[];
  readonly top1: readonly number[];
  readonly secondsPerStep: number | undefined;
}

const AT_A_TIME = 2;
/** Runs beyond this many get no curves. */
const MOST_RUNS = 100;
const EVALUATIONS_EVERY_MS = 5000;

/** @returns tails by the uid of the run */
export function useTails(project: string, runs: readonly Json<Run>[]): ReadonlyMap<string, Tail> {
  const losses = useLosses(runs);
  const paces = usePaces(runs);
  const evaluations = useCall(
    async (signal) => {
      const byRun = new Map<string, Score[]>();
      for await (const page of evaluationPages(project, { signal })) addScores(byRun, page);
      return byRun;
    },
    [project],
    EVALUATIONS_EVERY_MS,
  );
  return new Map(
    runs.map((run) => {
      const { uid = '', name = '' } = run;
      const top1 = top1Of(run, evaluations.data?.get(name) ?? []);
      return [uid, { loss: losses.get(uid) ?? [], top1, secondsPerStep: paces.get(uid)?.secondsPerStep }];
    }),
  );
}

function usePaces(runs: readonly Json<Run>[]): ReadonlyMap<string, Pace> {
  const paces = useRef(new Map<string, Pace>());
  useEffect(() => {
    const now = performance.now();
    const running = runs.filter(({ state }) => stateWord(state) === 'running');
    paces.current = new Map(running.map(({ uid = '', step }) => [uid, paceOf(paces.current.get(uid), num(step), now)]));
  }, [runs]);
  return paces.current;
}

function useLosses(runs: readonly Json<Run>[]): ReadonlyMap<string, readonly number[]> {
  const [losses, setLosses] = useState<ReadonlyMap<string, readonly number[]>>(new Map());
  const [gone] = useState(() => new AbortController());
  const steps = useRef(new Map<string, string>());
  // Lists come faster than the curves of many runs: those that have waited longest have their turn, and what is being read is not begun again.
  const begun = useRef(new Map<string, number>());
  const busy = useRef(new Set<string>());
  const since = ({ uid = '' }: Json<Run>) => begun.current.get(uid) ?? 0;
  const queue = runs
    .slice(0, MOST_RUNS)
    .filter(({ uid = '', step = '0' }) => step !== '0' && steps.current.get(uid) !== step && !busy.current.has(uid))
    .toSorted((a, b) => since(a) - since(b));
  // One that failed was begun later than before, so the next list brings the next attempt.
  const wanted = queue.map((run) => `${run.uid}:${run.step}:${since(run)}`).join();
  useEffect(() => () => gone.abort(), [gone]);
  useEffect(() => {
    if (wanted === '') return;
    let replaced = false;
    const rest = [...queue];
    const work = async () => {
      for (let run = rest.shift(); run !== undefined && !replaced; run = rest.shift()) {
        const { name = '', uid = '', step = '0' } = run;
        busy.current.add(uid);
        begun.current.set(uid, performance.now());
        try {
          const loss = await readLoss(name, gone.signal);
          steps.current.set(uid, step);
          busy.current.delete(uid);
          if (!gone.signal.aborted) setLosses((before) => new Map(before).set(uid, loss));
        } catch {
          // The table itself says if a service is away.
          busy.current.delete(uid);
        }
      }
    };
    for (let k = busy.current.size; k < AT_A_TIME; k++) void work();
    return () => {
      replaced = true;
    };
  }, [wanted]);
  return losses;
}
