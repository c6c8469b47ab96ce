/** `dropstream checkpoints export` and `import`: exchange weights with other programs through files. */

import { open, unlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { loadManifest } from '#data/manifest/manifest-store.js';
import { NotFound, Violations } from '#errors/errors.js';
import { checkId, checkName } from '#errors/resource-names.js';
import { openFileSource } from '#interchange/byte-source.js';
import { type ExportDtype, exportDtypes, exportWeights } from '#interchange/export-weights.js';
import { importWeights } from '#interchange/import-weights.js';
import type { Convention } from '#interchange/names/timm-names.js';
import { openWeightFile, type WeightFile } from '#interchange/weight-file.js';
import { defaultImageSize } from '#nn/models/registry.js';
import { loadCheckpoint } from '#storage/checkpoint.js';
import { isSha256, sha256Rule } from '#storage/content-hash.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { encodeSafetensors } from '#storage/safetensors.js';
import type { Tensor } from '#storage/tensor.js';
import { readTrainingMetadata } from '#training/checkpoint-metadata.js';
import { Incarnations } from '#work/incarnations.js';
import { findCheckpoint } from '#work/named-checkpoints.js';
import { storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { importedRunId, modelParameters, saveImported } from '../imported-checkpoint.js';
import { count } from '../output/numbers.js';
import { fieldLines } from '../output/table.js';
import { checkpointName, printJson, projectIdOf, projectName, type SharedOptions, withSharedOptions } from './shared-options.js';

interface ExportOptions extends SharedOptions {
  readonly store?: string;
  readonly format: Convention;
  readonly dtype: ExportDtype;
  readonly out: string;
  readonly ema?: boolean;
}

interface ImportOptions extends SharedOptions {
  readonly store?: string;
  readonly model: string;
  readonly inputSize?: string;
  readonly nbClasses?: string;
  readonly manifest?: string;
  readonly modelKey: string;
  readonly modelPrefix: string;
  readonly run?: string;
  readonly out?: string;
}

export function addCheckpointFileCommands(checkpoints: Command, context: Context): void {
  const storeHelp = 'object store that holds the checkpoints (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)';

  withSharedOptions(
    checkpoints.command('export <checkpoint>').description('write the weights of RUN, RUN/best or RUN/CHECKPOINT to a safetensors file'),
    [],
  )
    .requiredOption('--out <file>', 'file to write; it must not exist')
    .addOption(new Option('--format <names>', 'which names the parameters get in the file').choices(['timm', 'reference']).default('timm'))
    .addOption(new Option('--dtype <type>', 'data type of the tensors in the file').choices(Object.keys(exportDtypes)).default('float32'))
    .option('--ema', 'export the moving average instead of the weights')
    .option('--store <uri>', storeHelp)
    .action(async (name: string, options: ExportOptions) => {
      const group = options.ema ? 'ema' : 'weights';
      const exported = await withStore(options.store, context, async (store) => {
        const asked = checkedName(name, options);
        const { name: checkpoint, manifestKey } = await findCheckpoint(store, new Incarnations(store), asked, context.signal);
        const { manifest, tensors } = await loadCheckpoint(store, manifestKey, {
          groups: [group],
          signal: context.signal,
        }).catch((cause) => {
          throw cause instanceof ObjectNotFound ? new NotFound('checkpoint', checkpoint, { cause }) : cause;
        });
        const { model } = readTrainingMetadata(checkpoint, manifest.metadata);
        const weights = tensors[group];
        if (weights === undefined)
          throw new CommandError(`checkpoint ${checkpoint} has no moving average: its run has no model_ema`, exitCodes.usage);
        const file = exportWeights(weights, model.name, options.format, options.dtype);
        const size = { input_size: String(model.imageSize), num_classes: String(model.classes) };
        const about = { format: 'pt', checkpoint, weights: group, names: options.format, model: model.name, ...size };
        return { checkpoint, model: model.name, tensors: file, bytes: await writeWeights(options.out, file, about, context) };
      });
      report(
        {
          checkpoint: exported.checkpoint,
          model: exported.model,
          weights: group,
          names: options.format,
          dtype: options.dtype,
          tensors: exported.tensors.length,
          bytes: exported.bytes,
          file: options.out,
        },
        options,
        context,
      );
    });

  withSharedOptions(
    checkpoints
      .command('import <file>')
      .description('store the weights of a .safetensors or .pth file (of timm or the reference) as a checkpoint'),
    [],
  )
    .requiredOption('--model <name>', 'model that the weights belong to')
    .option('--input-size <pixels>', "height and width of the input images in pixels (default: the model's own)")
    .option('--nb-classes <n>', 'number of classes of the head (default: that of --manifest, otherwise 1000)')
    .option(
      '--manifest <sha256>',
      'manifest whose classes are those of the head; the checkpoint can then be evaluated on data sets with the same classes',
    )
    .option('--model-key <keys>', 'keys, separated by |; the weights are read from the first one that the .pth file has', 'model|module')
    .option('--model-prefix <text>', 'import only parameters whose names begin with this text, and remove it from the names', '')
    .option('--run <id>', 'id of the run under which the checkpoint is stored (default: imported-MODEL-HASH)')
    .option('--out <file>', "write a safetensors file with the reference's names instead of storing a checkpoint")
    .option('--store <uri>', storeHelp)
    .action(async (path: string, options: ImportOptions) => {
      checkImport(options);
      const source = await openFileSource(resolve(context.cwd, path));
      try {
        const { modelKey, modelPrefix } = options;
        const file = await openWeightFile(source, { modelKey, modelPrefix });
        if (options.out !== undefined && options.manifest === undefined) await importTo(file, options, undefined, context);
        else await withStore(options.store, context, (store) => importTo(file, options, store, context));
      } finally {
        await source.close();
      }
    });
}

async function importTo(file: WeightFile, options: ImportOptions, store: ObjectStore | undefined, context: Context): Promise<void> {
  const { model, manifest, out } = options;
  const imageSize = options.inputSize === undefined ? defaultImageSize(model) : Number(options.inputSize);
  const known =
    manifest === undefined
      ? undefined
      : (await loadManifest(store as ObjectStore, { project: projectIdOf(options), sha256: manifest }, context.signal)).classes;
  const classes = options.nbClasses === undefined ? (known?.length ?? 1000) : Number(options.nbClasses);
  if (known !== undefined && known.length !== classes)
    new Violations().add('nb_classes', classes, `${known.length}, the classes of --manifest`).throwIfAny();
  const expected = await modelParameters(model, imageSize, classes);
  const { tensors, convention, notices } = await importWeights(file, { expected });
  for (const notice of notices) context.terminal.err(notice);
  const facts = { format: file.format, names: convention, model, tensors: tensors.length };
  if (out !== undefined) {
    const about = { format: 'pt', names: 'reference', model, input_size: String(imageSize), num_classes: String(classes) };
    const bytes = await writeWeights(out, tensors, about, context);
    return report({ file: out, ...facts, bytes }, options, context);
  }
  const run = `${projectName(options)}/runs/${options.run ?? importedRunId(model, tensors)}`;
  const classNames = known === undefined ? Array.from({ length: classes }, (_, label) => String(label)) : [...known];
  const checkpoint = await saveImported(store as ObjectStore, run, { name: model, imageSize, classNames }, tensors, context.signal);
  report({ checkpoint, ...facts }, options, context);
}

function checkImport({ inputSize, nbClasses, manifest, run, project }: ImportOptions): void {
  const violations = new Violations();
  const number = (field: string, text: string | undefined) =>
    violations.check(text === undefined || /^[1-9]\d{0,5}$/.test(text), field, text, 'a whole number from 1');
  number('input_size', inputSize);
  number('nb_classes', nbClasses);
  violations.check(manifest === undefined || isSha256(manifest), 'manifest', manifest, `a SHA-256: ${sha256Rule}`);
  checkId(violations, project, 'project');
  if (run !== undefined) checkId(violations, run, 'run');
  violations.throwIfAny();
}

/** @throws InvalidArgument */
function checkedName(name: string, options: SharedOptions): string {
  const full = checkpointName(name, options);
  const violations = new Violations();
  checkName(violations, 'checkpoint', full, 'checkpoint');
  violations.throwIfAny();
  return full;
}

async function withStore<R>(flag: string | undefined, context: Context, use: (store: ObjectStore) => Promise<R>): Promise<R> {
  const store = await openStore(storeOf(flag, context), { env: context.env, signal: context.signal });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** Deletes the file if it cannot be written completely. @returns number of bytes written */
async function writeWeights(out: string, tensors: readonly Tensor[], about: Record<string, string>, context: Context): Promise<number> {
  const path = resolve(context.cwd, out);
  const pieces = encodeSafetensors(tensors, about);
  const handle = await open(path, 'wx').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EEXIST')
      throw new CommandError(`${out} exists already: choose another file with --out`, exitCodes.conflict, { cause });
    throw new CommandError(`${out} cannot be written: ${cause.code}`, exitCodes.usage, { cause });
  });
  try {
    for (const piece of pieces) {
      context.signal.throwIfAborted();
      // On a file handle, writeFile appends at the current position and writes all bytes.
      await handle.writeFile(piece);
    }
    await handle.sync();
  } catch (error) {
    await unlink(path);
    throw error;
  } finally {
    await handle.close();
  }
  return pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
}

function report(facts: Record<string, string | number>, { json }: SharedOptions, context: Context): void {
  if (json) {
    printJson(context, facts);
    return;
  }
  const shown = Object.entries(facts).map(([key, value]) => [key, typeof value === 'number' ? count(value) : value] as const);
  for (const line of fieldLines(shown)) context.terminal.out(line);
}
