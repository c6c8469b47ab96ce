/** `dropstream evaluations …`: lists, shows, cancels and deletes evaluations. `dropstream evaluate` creates them. */
import type { Command } from 'commander';
import { Evaluation, EvaluationState, EvaluatorServiceClient, type Scores } from '#protocol/dropstream/v1/evaluator.js';
import type { Context } from '../context.js';
import { count, duration } from '../output/numbers.js';
import { fieldLines, tableLines } from '../output/table.js';
import {
  allPages,
  fullName,
  printJson,
  printUnreadable,
  projectName,
  type SharedOptions,
  shortName,
  withClient,
  withSharedOptions,
} from './shared-options.js';

export function addEvaluationsCommand(program: Command, context: Context): void {
  const evaluations = program.command('evaluations').description('list, show, cancel and delete evaluations of checkpoints');

  withSharedOptions(evaluations.command('list').description('list the evaluations of a project'), ['evaluator'])
    .option('--limit <n>', 'largest number of evaluations to list', '1000')
    .action(async (options: SharedOptions & { limit: string }) => {
      const all = await withClient(EvaluatorServiceClient, 'evaluator', options, context, (client, call) =>
        allPages(Number(options.limit), async (pageToken, pageSize) => {
          const page = await client.listEvaluations({ parent: projectName(options), pageToken, pageSize }, call);
          printUnreadable(page.unreadable, context);
          return { items: page.evaluations, nextPageToken: page.nextPageToken };
        }),
      );
      if (options.json) return printJson(context, all.map(Evaluation.toJSON));
      if (all.length === 0) return context.terminal.err(`no evaluations in ${projectName(options)}`);
      for (const line of tableLines(all, columns)) context.terminal.out(line);
    });

  withSharedOptions(evaluations.command('get <evaluation>').description('show one evaluation'), ['evaluator']).action(
    async (name: string, options: SharedOptions) => {
      const { evaluation } = await withClient(EvaluatorServiceClient, 'evaluator', options, context, (client, call) =>
        client.getEvaluation({ name: fullName('evaluations', name, options) }, call),
      );
      showEvaluation(evaluation!, options, context);
    },
  );

  withSharedOptions(evaluations.command('cancel <evaluation>').description('end an evaluation; it gets no result'), ['evaluator']).action(
    async (name: string, options: SharedOptions) => {
      const { evaluation } = await withClient(EvaluatorServiceClient, 'evaluator', options, context, (client, call) =>
        client.cancelEvaluation({ name: fullName('evaluations', name, options) }, call),
      );
      showEvaluation(evaluation!, options, context);
    },
  );

  withSharedOptions(evaluations.command('delete <evaluation>').description('delete an evaluation that has ended'), ['evaluator'])
    .option('--etag <etag>', 'etag of the evaluation; fails if the evaluation has changed since')
    .action(async (name: string, options: SharedOptions & { etag?: string }) => {
      const request = { name: fullName('evaluations', name, options), etag: options.etag ?? '' };
      await withClient(EvaluatorServiceClient, 'evaluator', options, context, (client, call) => client.deleteEvaluation(request, call));
      if (options.json) printJson(context, { deleted: request.name });
      else context.terminal.err(`deleted ${request.name}`);
    });
}

const columns = [
  { title: 'EVALUATION', value: (e: Evaluation) => shortName(e.name), align: 'left' as const },
  { title: 'STATE', value: (e: Evaluation) => EvaluationState[e.state] },
  { title: 'CHECKPOINT', value: (e: Evaluation) => e.spec?.checkpoint.replace(/^.*\/runs\//, '').replace('/checkpoints/', '/') },
  { title: 'TOP-1', value: (e: Evaluation) => e.result?.weights && `${e.result.weights.top1.toFixed(2)} %`, align: 'right' as const },
  {
    title: 'AGE',
    value: (e: Evaluation) => (e.createTime ? duration((Date.now() - e.createTime.getTime()) / 1000) : undefined),
  },
  { title: 'WHY', value: (e: Evaluation) => e.failure },
];

const scoresText = (scores: Scores | undefined): string | undefined =>
  scores && `top-1 ${scores.top1.toFixed(2)} %, top-5 ${scores.top5.toFixed(2)} %, loss ${scores.loss.toFixed(4)}`;

function showEvaluation(evaluation: Evaluation, options: SharedOptions, context: Context): void {
  if (options.json) {
    printJson(context, Evaluation.toJSON(evaluation));
    return;
  }
  const { name, state, spec, samplesDone, samplesTotal, result, failure, creator, etag } = evaluation;
  const lines = fieldLines([
    ['name', name],
    ['state', EvaluationState[state]],
    ['checkpoint', spec?.checkpoint],
    ['images', `${count(samplesDone)} of ${count(samplesTotal)}`],
    ['weights', scoresText(result?.weights)],
    ['moving average', scoresText(result?.ema)],
    ['failure', failure],
    ['creator', creator],
    ['etag', etag],
  ]);
  for (const line of lines) context.terminal.out(line);
}
