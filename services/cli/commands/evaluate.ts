/** `dropstream evaluate CHECKPOINT`: loss, top-1 and top-5 by the evaluator service. */
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { invalid } from '#errors/errors.js';
import { Evaluation, EvaluationSpec, EvaluationState, EvaluatorServiceClient, type Scores } from '#protocol/dropstream/v1/evaluator.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import type { EnumWords } from '#spec/enum-words.js';
import { engines, precisions } from '#spec/words.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
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
  readonly detach?: boolean;
}

export function addEvaluateCommand(program: Command, context: Context): void {
  withSharedOptions(program.command('evaluate <checkpoint>').description('score RUN, RUN/best or RUN/CHECKPOINT'), ['evaluator', 'trainer'])
    .option('--manifest <sha256>', "images to score on; default: the run's eval_manifest")
    .option('--batch-size <n>', "samples in a batch; default: 1.5 times the run's")
    .option('--ema [true|false]', "score the moving average too; default: the run's model_ema_eval")
    .option('--crop-pct <share>', 'share kept by the crop')
    .option('--engine <name>', 'native, tfjs or tensorflow')
    .option('--precision <name>', "fp32, or bf16 on engine native; default: the run's")
    .option('--subset-stride <n>', 'only every n-th image')
    .option('--subset-offset <n>', 'first image of the subset')
    .option('--detach', 'print the name and leave')
    .action(async (given: string, options: EvaluateOptions) => {
      const checkpoint = await storedName(checkpointName(given, options), options, context);
      await scoreCheckpoint(specOf(checkpoint, options), options, context);
    });
}

/** Asks for an evaluation, waits for it unless detached, and prints it. @throws CommandError (1) where it failed */
export async function scoreCheckpoint(
  spec: EvaluationSpec,
  options: SharedOptions & { readonly detach?: boolean },
  context: Context,
): Promise<void> {
  await withClient(EvaluatorServiceClient, 'evaluator', options, context, async (client, call) => {
    const request = { parent: projectName(options), spec, requestId: randomUUID() };
    let evaluation = (await client.createEvaluation(request, call)).evaluation!;
    if (!options.detach) {
      for await (const next of client.watchEvaluation({ name: evaluation.name }, { signal: context.signal })) {
        evaluation = next.evaluation ?? evaluation;
        const { samplesDone: done, samplesTotal: total } = evaluation;
        context.terminal.status(
          total > 0n ? `${bar(Number(done) / Number(total))} ${count(done)} of ${count(total)} images` : 'waiting for a worker',
        );
      }
      context.terminal.status('');
    }
    show(evaluation, options, context);
  });
}

/** `latest` and `best` are names that only the trainer knows; all others are stored names already. */
export async function storedName(name: string, options: SharedOptions, context: Context): Promise<string> {
  if (!/\/(latest|best)$/.test(name)) return name;
  return withClient(
    TrainerServiceClient,
    'trainer',
    options,
    context,
    async (client, call) => (await client.getCheckpoint({ name }, call)).checkpoint!.name,
  );
}

function specOf(checkpoint: string, o: EvaluateOptions): EvaluationSpec {
  const number = (field: string, text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text.trim() === '' || Number.isNaN(value)) throw invalid(field, text, 'a number');
    return value;
  };
  const word = <T>(field: string, { words, parse }: EnumWords<T>, text: string | undefined) => {
    if (text === undefined) return undefined;
    const value = parse(text);
    if (value === undefined) throw invalid(field, text, `one of ${words.join(', ')}`);
    return value;
  };
  const ema = o.ema === undefined ? undefined : parseBoolean(o.ema === true ? 'true' : o.ema);
  if (o.ema !== undefined && ema === undefined) throw invalid('ema', o.ema, 'true or false');
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
  });
}

function show(evaluation: Evaluation, options: SharedOptions, context: Context): void {
  const { terminal } = context;
  const { result } = evaluation;
  if (options.json) printJson(context, Evaluation.toJSON(evaluation));
  else if (result) {
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
  } else terminal.out(`${evaluation.name} is ${EvaluationState[evaluation.state]}`);
  if (evaluation.state === EvaluationState.FAILED) throw new CommandError(`${evaluation.name} failed: ${evaluation.failure}`);
}
