/** Keeps what the table shows of each run up to date, two calls at a time: a browser opens only six connections to a server. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { stateWord } from '../format/words.js';
import { type Pace, paceOf, readLoss, top1ByRun } from './tail.js';

export interface Tail {
  readonly loss: readonly number[];
  readonly top1: readonly number[];
  readonly secondsPerStep: number | undefined;
}

const AT_A_TIME = 2;
/** Runs beyond this many get no curves. */
const MOST_RUNS = 100;
const EVALUATIONS_EVERY_MS = 5000;
const MOST_EVALUATIONS = 1000;

/** @returns tails by the uid of the run */
export function useTails(project: string, runs: readonly Json<Run>[]): ReadonlyMap<string, Tail> {
  const losses = useLosses(runs);
  const paces = usePaces(runs);
  const evaluations = useCall(
    async (signal) =>
      top1ByRun(
        (await call('EvaluatorService/ListEvaluations', { parent: project, pageSize: MOST_EVALUATIONS }, { signal })).evaluations ?? [],
      ),
    [project],
    EVALUATIONS_EVERY_MS,
  );
  return new Map(
    runs.map(({ uid = '', name = '' }) => [
      uid,
      { loss: losses.get(uid) ?? [], top1: evaluations.data?.get(name) ?? [], secondsPerStep: paces.get(uid)?.secondsPerStep },
    ]),
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
  const steps = useRef(new Map<string, string>());
  const queue = runs.slice(0, MOST_RUNS).filter(({ uid = '', step = '0' }) => step !== '0' && steps.current.get(uid) !== step);
  const wanted = queue.map(({ uid, step }) => `${uid}:${step}`).join();
  useEffect(() => {
    if (wanted === '') return;
    const end = new AbortController();
    const rest = [...queue];
    const work = async () => {
      for (let run = rest.shift(); run !== undefined && !end.signal.aborted; run = rest.shift()) {
        const { name = '', uid = '', step = '0' } = run;
        try {
          const loss = await readLoss(name, end.signal);
          steps.current.set(uid, step);
          if (!end.signal.aborted) setLosses((before) => new Map(before).set(uid, loss));
        } catch {
          // The table itself says if a service is away; the next list brings the next attempt.
        }
      }
    };
    for (let k = 0; k < AT_A_TIME; k++) void work();
    return () => end.abort();
  }, [wanted]);
  return losses;
}
