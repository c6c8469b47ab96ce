/** Adds the runs of a study that have ended and are evaluated to its file of lines. */
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { type Run, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { projectName, type SharedOptions, withClient } from '../commands/shared-options.js';
import type { Context } from '../context.js';
import { count } from '../output/numbers.js';
import { finalLossOf } from './final-evaluations.js';
import { appendLine, isSameRun, lineOf, readLines } from './lines-file.js';
import { measureRun, withFinalLoss } from './measured-run.js';

/**
 * Each line is written as soon as it is known, so that an interruption loses none. Runs that the file has are not read again, and those without a result wait
 * for the next time. @param runs that have succeeded
 */
export async function addLines(study: string, runs: readonly Run[], path: string, options: SharedOptions, context: Context): Promise<void> {
  const lines = await readLines('lines', path);
  const before = lines.length;
  const parent = projectName(options);
  const missing = runs.filter(({ uid }) => !lines.some((line) => line.uid === uid));
  await withClient(TrainerServiceClient, 'trainer', options, context, async (trainer, call) => {
    await withClient(EvaluatorServiceClient, 'evaluator', options, context, async (evaluator) => {
      for (const [k, run] of missing.entries()) {
        context.terminal.status(`reading run ${count(k + 1)} of ${count(missing.length)}`);
        const loss = await finalLossOf(run, { client: evaluator, parent, call });
        if (loss === undefined) continue;
        const line = lineOf(study, run, withFinalLoss(await measureRun(run, { client: trainer, parent, call }), loss));
        if (lines.some((one) => isSameRun(one, line))) continue;
        await appendLine('lines', path, line);
        lines.push(line);
      }
    });
  });
  context.terminal.status('');
  context.terminal.err(`${path} has ${count(lines.length)} lines, ${count(lines.length - before)} of them new`);
}
