/** Where reading a run's log begins: at its first record, or, if the run is long, near the newest one. */
import type { Evaluation } from '#protocol/dropstream/v1/evaluator.js';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { evaluationPages } from '../api/evaluation-pages.js';
import { type Json, num } from '../api/json.js';
import { mayPass, RpcError } from '../api/rpc-error.js';
import { stream } from '../api/stream.js';
import { projectOf } from '../format/words.js';
import { isOfRun } from '../history/own-evaluations.js';
import type { RunHistory } from '../history/run-history.js';

/** The log of more steps than this is not read from its beginning: the trainer thins the curves instead. */
const LONG_STEPS = 20_000;
/** Records that are read of a long log: those of the last minutes. */
const NEWEST_RECORDS = 200;

export const isLong = ({ step }: Json<Run>): boolean => num(step) > LONG_STEPS;

/** Takes what a long log says at its beginning and about evaluations. @returns the sequence number after which events are still to be read */
export async function beginHistory(history: RunHistory, run: Json<Run>, signal: AbortSignal): Promise<string> {
  const sequence = num(run.logSequence);
  if (!isLong(run) || sequence <= NEWEST_RECORDS) return '0';
  const { name = '', uid = '' } = run;
  const enough = new AbortController();
  for await (const [first] of stream('TrainerService/WatchRun', { name, uid }, AbortSignal.any([signal, enough.signal]))) {
    if (first?.event !== undefined) history.take(first.event);
    break;
  }
  enough.abort();
  // The record of the creation has the first ones, and the schedule may have had revisions since then.
  history.segments = run.dropSegments ?? [];
  for (const { spec, result, name: evaluation } of await ownEvaluations(run, signal))
    if (result !== undefined) history.addEvaluation({ checkpoint: spec?.checkpoint, evaluation, result, step: result.step });
  history.unreadUntil = sequence - NEWEST_RECORDS;
  return String(history.unreadUntil);
}

/** In the order of their steps: the last one has the newest accuracy by class. */
async function ownEvaluations(run: Json<Run>, signal: AbortSignal): Promise<readonly Json<Evaluation>[]> {
  const own: Json<Evaluation>[] = [];
  try {
    for await (const page of evaluationPages(projectOf(run.name ?? ''), { signal, classes: true }))
      own.push(...page.filter((evaluation) => isOfRun(evaluation, run)));
  } catch (error) {
    // Without an evaluator, or for a caller who may not ask it, there are no marks, but there are curves.
    if (signal.aborted || !(error instanceof RpcError) || mayPass(error)) throw error;
  }
  return own.sort((a, b) => num(a.result?.step) - num(b.result?.step));
}
