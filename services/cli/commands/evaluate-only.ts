/** `dropstream train --eval`: evaluates a checkpoint with the reference's options. */
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { invalid, NotFound } from '#errors/errors.js';
import { type ByteSource, openFileSource } from '#interchange/byte-source.js';
import { importWeights } from '#interchange/import-weights.js';
import { openWeightFile, type WeightFile } from '#interchange/weight-file.js';
import { defaultImageSize } from '#nn/models/registry.js';
import { EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { openStore } from '#storage/open-store.js';
import type { Tensor } from '#storage/tensor.js';
import { storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { indexForEvaluation } from '../data-sets.js';
import { importedRunId, type ModelParameter, modelParameters, saveImported } from '../imported-checkpoint.js';
import { count } from '../output/numbers.js';
import type { TrainRequest } from '../train-spec.js';
import { scoreCheckpoint } from './evaluate.js';
import { checkpointName, projectIdOf, projectName, type SharedOptions, withClient } from './shared-options.js';

interface EvaluateOnlyOptions extends SharedOptions {
  readonly store?: string;
  readonly detach?: boolean;
}

interface Images {
  readonly sha256: string;
  readonly classes: readonly string[];
}

/** Evaluates `resume`, a stored checkpoint or a file, which is imported first. Prints loss, top-1 and top-5. */
export async function evaluateOnly(request: TrainRequest, options: EvaluateOnlyOptions, context: Context): Promise<void> {
  const { spec, data, resume } = request;
  if (/^https?:/.test(resume)) throw invalid('resume', resume, 'a checkpoint or a local file: download it first');
  const indexed =
    data.data_path || data.eval_data_path
      ? await indexForEvaluation(data, { store: storeOf(options.store, context), project: projectIdOf(options) }, context, spec)
      : undefined;
  if (indexed) context.terminal.err(`evaluation images: ${count(indexed.samples)} in ${indexed.classes.length} classes`);
  const path = resolve(context.cwd, resume);
  const isFile = (await stat(path).catch(() => undefined))?.isFile() ?? false;
  if (!isFile && /\.(pth|pt|safetensors)$/.test(resume)) throw new NotFound('file', path);
  let checkpoint: string;
  if (isFile) {
    if (indexed === undefined)
      throw invalid('data_path', '', 'given if --resume is a file, because the classes of the head are those of the images');
    checkpoint = await importFile(path, request, indexed, options, context);
  } else {
    checkpoint = checkpointName(resume, options);
    await checkModel(checkpoint, spec.model, options, context);
  }
  const evaluation = EvaluationSpec.fromPartial({
    checkpoint,
    manifest: indexed?.sha256 ?? spec.evalManifest,
    ...(spec.batchSize !== undefined && { batchSize: spec.batchSize }),
    ...(spec.modelEmaEval !== undefined && { ema: spec.modelEmaEval }),
    ...(spec.cropPct !== undefined && { cropPct: spec.cropPct }),
    ...(spec.engine !== undefined && { engine: spec.engine }),
    ...(spec.precision !== undefined && { precision: spec.precision }),
  });
  await scoreCheckpoint(evaluation, options, context);
}

async function importFile(path: string, { spec }: TrainRequest, { classes }: Images, options: EvaluateOnlyOptions, context: Context) {
  const imageSize = spec.inputSize ?? defaultImageSize(spec.model);
  const expected = await modelParameters(spec.model, imageSize, classes.length);
  const source = await openFileSource(path);
  try {
    const file = await openWeightFile(source, { modelKey: 'model|module' });
    const { tensors, notices } = await importWeights(file, { expected });
    for (const notice of notices) context.terminal.err(notice);
    const ema = await averageIn(source, file, expected, spec.modelEmaEval, context);
    const store = await openStore(storeOf(options.store, context), { env: context.env, signal: context.signal });
    try {
      const run = `${projectName(options)}/runs/${importedRunId(spec.model, [...tensors, ...(ema ?? [])])}`;
      const model = { name: spec.model, imageSize, classNames: [...classes] };
      const checkpoint = await saveImported(store, run, model, tensors, context.signal, ema);
      context.terminal.err(`imported ${path} as ${checkpoint}`);
      return checkpoint;
    } finally {
      await store.close();
    }
  } finally {
    await source.close();
  }
}

/** The moving average in a checkpoint of the reference, if it is to be evaluated. @throws InvalidArgument if there is none */
async function averageIn(
  source: ByteSource,
  { keys }: WeightFile,
  expected: readonly ModelParameter[],
  isAsked: boolean | undefined,
  { terminal }: Context,
): Promise<readonly Tensor[] | undefined> {
  const has = keys.includes(averageKey);
  if (isAsked && !has)
    throw invalid('model_ema_eval', true, `left out, because the file has no ${averageKey}: its keys are ${keys.join(', ')}`);
  if (has && isAsked === undefined) terminal.err(`the file has a moving average, too: --model_ema_eval true evaluates both`);
  if (!isAsked) return undefined;
  return (await importWeights(await openWeightFile(source, { modelKey: averageKey }), { expected })).tensors;
}

/** Key of the moving average in a checkpoint of the reference. */
const averageKey = 'model_ema';

/** Refuses a checkpoint of another model than the one given. Imported checkpoints are not checked: they have no run that knows the model. */
async function checkModel(checkpoint: string, model: string, options: SharedOptions, context: Context): Promise<void> {
  const name = checkpoint.replace(/\/checkpoints\/.*$/, '');
  const trained = await withClient(TrainerServiceClient, 'trainer', options, context, async (client, call) => {
    try {
      return (await client.getRun({ name }, call)).run?.spec?.model;
    } catch (error) {
      if (error instanceof NotFound) return undefined;
      throw error;
    }
  });
  if (trained !== undefined && trained !== model) throw invalid('model', model, `${trained}, the model of ${checkpoint}`);
}
