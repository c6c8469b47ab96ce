/** What must be true of the evaluations of a run when it is over. */
import { EvaluationResult } from '#protocol/dropstream/v1/evaluator.js';
import type { EvaluationRecord, Run, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import type { Calm } from './check-run.js';
import type { Damage } from './damage.js';

/** All evaluation records of a run, in the order of its log. */
export const evaluationsOf = (events: readonly RunEvent[]): EvaluationRecord[] =>
  events.flatMap(({ event }) => (event?.$case === 'evaluation' ? [event.value] : []));

/**
 * Every checkpoint at the end of an epoch has an evaluation: the undisturbed run's result to the bit, or a failure with its reason, which only a
 * checkpoint may have that was damaged on purpose, and which it must have if that was done before its evaluation. `run` is what GetRun says of it.
 */
export function checkEvaluations(events: readonly RunEvent[], run: Run, calm: Calm, damage: Damage): string[] {
  const wrong: string[] = [];
  const damaged = damage.checkpoints;
  const open = new Map<string, bigint>();
  const known = new Map<string, bigint>();
  for (const { event } of events) {
    if (event?.$case === 'checkpoint' && calm.results.has(Number(event.value.step))) {
      open.set(event.value.checkpoint, event.value.step);
      known.set(event.value.checkpoint, event.value.step);
    }
    if (event?.$case !== 'evaluation') continue;
    const { checkpoint, step, result, failure } = event.value;
    if (!open.delete(checkpoint) && known.has(checkpoint)) wrong.push(`${checkpoint} was evaluated twice`);
    if (known.get(checkpoint) !== step) wrong.push(`an evaluation is of ${checkpoint}, step ${step}, which the log does not have`);
    else if (result !== undefined && failure !== '')
      wrong.push(`the evaluation of ${checkpoint} has a result and a reason for its failure`);
    else if (result !== undefined && damage.unevaluable.has(checkpoint)) wrong.push(`${checkpoint} was evaluated although it is damaged`);
    else if (result !== undefined) wrong.push(...differences(checkpoint, result, calm.results.get(Number(step))));
    else if (failure === '') wrong.push(`the evaluation of ${checkpoint} has neither a result nor a reason`);
    else if (!damaged.has(checkpoint)) wrong.push(`the evaluation of ${checkpoint}, which nobody damaged, failed: ${failure}`);
    else if (!/damaged: expected \w+, found \w+/.test(failure))
      wrong.push(`the evaluation of ${checkpoint} failed, but not because it is damaged: ${failure}`);
  }
  for (const name of open.keys()) wrong.push(`${name} was not evaluated`);
  const steps = new Set(known.values());
  for (const step of calm.results.keys()) if (!steps.has(BigInt(step))) wrong.push(`no checkpoint of step ${step} was evaluated`);
  return [...wrong, ...checkTotals(evaluationsOf(events), run)];
}

/** What GetRun says of the evaluations is what the log says. */
function checkTotals(records: readonly EvaluationRecord[], run: Run): string[] {
  const scored = records.filter(({ result }) => result?.weights !== undefined);
  const wrong: string[] = [];
  const { evaluationsSucceeded, evaluationsFailed, bestTop1, bestCheckpoint } = run;
  if (evaluationsSucceeded !== scored.length || evaluationsFailed !== records.length - scored.length)
    wrong.push(
      `it has ${scored.length} of ${records.length} results, but GetRun says ${evaluationsSucceeded} and ${evaluationsFailed} failed`,
    );
  const top1 = Math.max(...scored.map(({ result }) => result!.weights!.top1));
  const best = scored.filter(({ result }) => result!.weights!.top1 === top1).sort((a, b) => Number(a.step - b.step))[0];
  const steps = new Map(scored.map(({ checkpoint, step }) => [checkpoint, step]));
  // Of one step there may be several checkpoints, with the same weights.
  if (best !== undefined && (bestTop1 !== top1 || steps.get(bestCheckpoint) !== best.step))
    wrong.push(`the best is ${best.checkpoint} with ${top1}, but GetRun says ${bestCheckpoint} with ${bestTop1}`);
  return wrong;
}

function differences(checkpoint: string, actual: EvaluationResult, expected: EvaluationResult | undefined): string[] {
  const values = [actual.weights, actual.ema].flatMap((scores) => [scores?.loss, scores?.top1, scores?.top5]);
  if (!values.every(Number.isFinite)) return [`the result of ${checkpoint} lacks values: ${written(actual)}`];
  if (expected !== undefined && written(actual) === written(expected)) return [];
  return [`the result of ${checkpoint} is ${written(actual)} instead of ${expected && written(expected)}`];
}

/** Everything but the time that it took. */
export const written = (result: EvaluationResult): string => JSON.stringify(EvaluationResult.toJSON({ ...result, seconds: 0 }));
