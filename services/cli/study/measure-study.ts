/** Reads what a report needs of every run of a study: from the runs' logs, and from the evaluations that `study evaluate` asked for. */
import { NotFound, Unavailable } from '#errors/errors.js';
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { type Run, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { projectName, type SharedOptions, withClient } from '../commands/shared-options.js';
import type { Context } from '../context.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { count } from '../output/numbers.js';
import { finalLossOf } from './final-evaluations.js';
import { type MeasuredRun, measureRun, withFinalLoss } from './measured-run.js';
import { runsWithLabel } from './study-runs.js';

/** Says so if the evaluator cannot be asked. @throws NotFound if the study has no runs */
export async function measureStudy(study: string, options: SharedOptions, context: Context): Promise<MeasuredRun[]> {
  const { terminal } = context;
  const parent = projectName(options);
  const [runs, measured] = await withClient(TrainerServiceClient, 'trainer', options, context, async (client, call) => {
    const place = { client, parent, call };
    const found = await runsWithLabel(study, place);
    if (found.length === 0) throw new NotFound('study', study);
    const all: MeasuredRun[] = [];
    for (const [k, run] of found.entries()) {
      terminal.status(`reading run ${count(k + 1)} of ${count(found.length)}`);
      all.push(await measureRun(run, place));
    }
    terminal.status('');
    return [found, all] as const;
  });
  const losses = await finalLosses(runs, options, context).catch((error: unknown) => {
    const isAway = error instanceof Unavailable || (error instanceof CommandError && error.exitCode === exitCodes.unavailable);
    if (!isAway) throw error;
    terminal.err(`final_train_loss is left out, because the evaluator cannot be asked: ${error.message}`);
    return [];
  });
  return measured.map((one, k) => withFinalLoss(one, losses[k]));
}

/** In the order of the runs. */
async function finalLosses(runs: readonly Run[], options: SharedOptions, context: Context): Promise<(number | undefined)[]> {
  return await withClient(EvaluatorServiceClient, 'evaluator', options, context, async (client, call) => {
    const losses: (number | undefined)[] = [];
    for (const run of runs) losses.push(await finalLossOf(run, { client, parent: projectName(options), call }));
    return losses;
  });
}
