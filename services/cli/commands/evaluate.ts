/** `dropstream evaluate CHECKPOINT`: the evaluator service computes loss, top-1 and top-5 of a checkpoint. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { evaluationStates } from '#client/evaluation-states.js';
import { invalid } from '#errors/errors.js';
import { Evaluation, EvaluationSpec, EvaluationState, EvaluatorServiceClient, type Scores } from '#protocol/dropstream/v1/evaluator.js';
import type { EnumWords } from '#spec/enum-words.js';
import { engines, precisions } from '#spec/words.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { gradientLines } from '../output/gradients.js';
import { bar, count, duration } from '../output/numbers.js';
import { tableLines } from '../output/table.js';
import { parseBoolean } from '../train-spec.js';
import { checkpointName, printJson, projectName, type SharedOptions, withClient, withSharedOptions } from './shared-options.js';

interface EvaluateOptions extends SharedOptions {
  readonly manifest?: string;
  readonly batchSize?: string;
  readonly ema?: string | true;
  readonly cropPct?: string;
  readonly engine?: string;
  readonly precision?: string;
  readonly subsetStride?: string;
  readonly subsetOffset?: string;
  readonly subsetInvert?: boolean;
  readonly gradientStatistics?: string;
  readonly dropout?: string;
  readonly dropPath?: string;
  readonly seed?: string;
  readonly detach?: boolean;
}

export function addEvaluateCommand(program: Command, context: Context): void {
  withSharedOptions(
    program
      .command('evaluate <checkpoint>')
      .description('evaluate the checkpoint RUN, RUN/best or RUN/CHECKPOINT: print its loss, top-1 and top-5'),
    ['evaluator'],
  )
    .option('--manifest <sha256>', "manifest of the evaluation images (default: the run's eval_manifest)")
    .option('--batch-size <n>', "number of images in a batch (default: 1.5 times the run's batch_size)")
    .option('--ema [true|false]', "evaluate the moving average as well as the weights (default: the run's model_ema_eval)")
    .option('--crop-pct <share>', "fraction of the short side that the center crop keeps (default: the run's crop_pct)")
    .option('--engine <name>', "what computes the model: native, webgpu (a GPU), auto, tfjs or tensorflow (default: the run's engine)")
    .option('--precision <name>', "fp32, bf16 (engines native and webgpu) or f16 (engine webgpu) (default: the run's precision)")
    .option('--subset-stride <n>', 'evaluate only every n-th image; 0: all images')
    .option('--subset-offset <n>', 'index of the first image of the subset')
    .option('--subset-invert', 'evaluate the images that --subset-stride and --subset-offset do not select')
    .option(
      '--gradient-statistics <n>',
      'measure the directions of the gradients of n mini-batches of the training images instead (docs/studies.md)',
    )
    .option('--dropout <rate>', "with --gradient-statistics: dropout rate (default: the run's)")
    .option('--drop-path <rate>', "with --gradient-statistics: stochastic depth rate of the last block (default: the run's)")
    .option('--seed <n>', "with --gradient-statistics: seed of mini-batches and masks (default: the run's)")
    .option('--detach', 'create the evaluation, print its name and exit; do not wait for it')
    .action(async (given: string, options: EvaluateOptions) => {
      await scoreCheckpoint(specOf(checkpointName(given, options), options), options, context);
    });
}

/** Creates an evaluation, waits for it unless detached, and prints it. @throws CommandError (exit code 1) if it ends without a result */
export async function scoreCheckpoint(
  spec: EvaluationSpec,
  options: SharedOptions & { readonly detach?: boolean },
  context: Context,
): Promise<void> {
  await withClient(EvaluatorServiceClient, 'evaluator', options, context, async (client, call) => {
    const request = { parent: projectName(options), spec, requestId: randomUUID() };
    let evaluation = (await client.createEvaluation(request, call)).evaluation!;
    if (!options.detach) {
      const { terminal, signal } = context;
      let isLost = false;
      const onReconnect = (error: Error): void => {
        if (!isLost) terminal.err(`the evaluator does not answer, trying again: ${error.message}`);
        isLost = true;
      };
      for await (const next of evaluationStates(client, evaluation.name, { signal, onReconnect })) {
        isLost = false;
        evaluation = next;
        const { samplesDone: done, samplesTotal: total } = evaluation;
        terminal.status(
          total > 0n ? `${bar(Number(done) / Number(total))} ${count(done)} of ${count(total)} images` : 'waiting for a worker',
        );
      }
      terminal.status('');
    }
    show(evaluation, options, context);
  });
}

function specOf(checkpoint: string, o: EvaluateOptions): EvaluationSpec {
  const number = (field: string, text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text.trim() === '' || Number.isNaN(value)) throw invalid(field, text, 'a number');
    return value;
  };
  const word = <T>(field: string, { parse, rule }: EnumWords<T>, text: string | undefined) => {
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined) throw invalid(field, text, rule(text));
    return value;
  };
  const ema = o.ema === undefined ? undefined : parseBoolean(o.ema === true ? 'true' : o.ema);
  if (o.ema !== undefined && ema === undefined) throw invalid('ema', o.ema, 'true or false');
  if (o.gradientStatistics === undefined)
    for (const [field, given] of Object.entries({ dropout: o.dropout, drop_path: o.dropPath, seed: o.seed }))
      if (given !== undefined) throw invalid(field, given, 'left out without --gradient-statistics, because scores have no drop');
  return EvaluationSpec.fromPartial({
    checkpoint,
    manifest: o.manifest ?? '',
    batchSize: number('batch_size', o.batchSize),
    ema,
    cropPct: number('crop_pct', o.cropPct),
    engine: word('engine', engines, o.engine),
    precision: word('precision', precisions, o.precision),
    subsetStride: number('subset_stride', o.subsetStride),
    subsetOffset: number('subset_offset', o.subsetOffset),
    ...(o.subsetInvert && { subsetInvert: true }),
    ...(o.gradientStatistics !== undefined && {
      gradientStatistics: {
        batches: number('gradient_statistics', o.gradientStatistics)!,
        dropout: number('dropout', o.dropout),
        dropPath: number('drop_path', o.dropPath),
        seed: o.seed === undefined ? undefined : wholeNumber('seed', o.seed),
      },
    }),
  });
}

function wholeNumber(field: string, text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw invalid(field, text, 'a whole number');
  return BigInt(text);
}

function show(evaluation: Evaluation, options: SharedOptions, context: Context): void {
  const { terminal } = context;
  const { result } = evaluation;
  if (options.json) printJson(context, Evaluation.toJSON(evaluation));
  else if (result?.gradientStatistics) {
    for (const line of gradientLines(result.gradientStatistics)) terminal.out(line);
    terminal.err(`${evaluation.name}: step ${result.step}, ${count(result.samples)} images in ${duration(result.seconds)}`);
  } else if (result) {
    const scores: [string, Scores][] = [];
    if (result.weights) scores.push(['weights', result.weights]);
    if (result.ema) scores.push(['ema', result.ema]);
    const lines = tableLines(scores, [
      { title: 'OF', value: ([what]) => what },
      { title: 'TOP-1', value: ([, s]) => `${s.top1.toFixed(2)} %`, align: 'right' },
      { title: 'TOP-5', value: ([, s]) => `${s.top5.toFixed(2)} %`, align: 'right' },
      { title: 'LOSS', value: ([, s]) => s.loss.toFixed(4) },
    ]);
    for (const line of lines) terminal.out(line);
    terminal.err(`${evaluation.name}: step ${result.step}, ${count(result.samples)} images in ${duration(result.seconds)}`);
  } else if (evaluation.failure === '') terminal.out(`${evaluation.name} is ${EvaluationState[evaluation.state]}`);
  if (evaluation.state === EvaluationState.FAILED) throw new CommandError(`${evaluation.name} failed: ${evaluation.failure}`);
  if (evaluation.state === EvaluationState.CANCELLED) throw new CommandError(`${evaluation.name} was cancelled and has no result`);
}
