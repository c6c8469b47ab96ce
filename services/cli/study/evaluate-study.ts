/** `dropstream study evaluate`: the loss without dropout and augmentation on the training images, of every run of a study that has succeeded. */
import { resolve } from 'node:path';
import { evaluationStates } from '#client/evaluation-states.js';
import { invalid, NotFound } from '#errors/errors.js';
import { EvaluationState, EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { type Run, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { projectName, type SharedOptions, shortName, withClient } from '../commands/shared-options.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { bar, count } from '../output/numbers.js';
import { checkFolderOf } from '../report/report-file.js';
import { addLines } from './add-lines.js';
import { askForFinal, canBeEvaluated } from './final-evaluations.js';
import { runsWithLabel } from './study-runs.js';

export interface EvaluateStudyOptions extends SharedOptions {
  readonly detach?: boolean;
  readonly lines?: string;
}

const isOpen = ({ state }: Run): boolean => state < RunState.SUCCEEDED;

/** Given again, it goes on: what has a result is left as it is. @throws CommandError (exit code 1) if an evaluation ended without a result */
export async function evaluateStudy(study: string, options: EvaluateStudyOptions, context: Context): Promise<void> {
  const { terminal, signal } = context;
  const parent = projectName(options);
  if (options.lines !== undefined) {
    if (options.detach) throw invalid('lines', options.lines, 'left out with --detach, which does not wait for what the lines have');
    await checkFolderOf('lines', resolve(context.cwd, options.lines));
  }
  const runs = await withClient(TrainerServiceClient, 'trainer', options, context, async (client, call) => {
    const listed = await runsWithLabel(study, { client, parent, call });
    const looked: Run[] = [];
    // A list may be some seconds behind; a run that has just ended is not to be left out.
    for (const run of listed) looked.push(isOpen(run) ? (await client.getRun({ name: run.name }, call)).run! : run);
    return looked;
  });
  if (runs.length === 0) throw new NotFound('study', study);
  const [ready, open] = [runs.filter(canBeEvaluated), runs.filter(isOpen).length];
  for (const run of runs.filter((one) => one.state === RunState.SUCCEEDED && !canBeEvaluated(one)))
    terminal.err(`${shortName(run.name)} has no checkpoint (save_ckpt is false) and is left out`);
  if (open > 0) terminal.err(`${count(open)} of ${count(runs.length)} runs have not ended: give the command again when they have`);
  await withClient(EvaluatorServiceClient, 'evaluator', options, context, async (client, call) => {
    const place = { client, parent, call };
    // All are asked for before one is waited for, so that several workers share them.
    const asked: { readonly run: Run; readonly name: string }[] = [];
    for (const run of ready) {
      terminal.status(`asking for evaluation ${count(asked.length + 1)} of ${count(ready.length)}`);
      asked.push({ run, name: (await askForFinal(run, place)).name });
    }
    const failures: string[] = [];
    for (const [k, { run, name }] of options.detach ? [] : asked.entries()) {
      terminal.status(`${bar(k / asked.length)} ${count(k)} of ${count(asked.length)} runs are evaluated`);
      for await (const { state, failure } of evaluationStates(client, name, { signal })) {
        if (state === EvaluationState.FAILED) failures.push(`${shortName(run.name)}: ${failure}`);
        if (state === EvaluationState.CANCELLED) failures.push(`${shortName(run.name)}: ${name} was cancelled`);
      }
    }
    terminal.status('');
    if (options.lines !== undefined) await addLines(study, ready, resolve(context.cwd, options.lines), options, context);
    if (failures.length > 0)
      throw new CommandError(`${failures.length} of ${asked.length} evaluations have no result: ${failures.join('; ')}`);
    terminal.out(
      `${study}: ${count(asked.length)} runs ${options.detach ? 'will be evaluated' : 'are evaluated'} on their training images`,
    );
  });
}
