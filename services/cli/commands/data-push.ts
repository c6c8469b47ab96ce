/** `dropstream data push`: uploads a data set into an object store, which every data replica can read. */
import type { Command } from 'commander';
import { LocalTree } from '#data/datasets/local-tree.js';
import { Manifest } from '#data/manifest/manifest.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { pushDataset } from '#data/sources/push-dataset.js';
import { Violations } from '#errors/errors.js';
import { openStore } from '#storage/open-store.js';
import { storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { datasetKind, type IndexLimits, indexAt, progressLines } from '../data-sets.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { bytes, count } from '../output/numbers.js';
import { fieldLines } from '../output/table.js';
import { printJson, projectIdOf, projectOption } from './shared-options.js';

export interface IndexCommandOptions {
  readonly labels?: string;
  readonly kind?: string;
  readonly split: string;
  readonly max_undecodable: string;
  readonly nb_classes?: string;
  readonly store?: string;
  readonly project: string;
  readonly json?: boolean;
}

interface PushCommandOptions extends IndexCommandOptions {
  readonly to?: string;
}

/** @throws InvalidArgument */
export function indexLimits(options: Pick<IndexCommandOptions, 'max_undecodable' | 'nb_classes'>): IndexLimits {
  const violations = new Violations();
  const share = Number(options.max_undecodable);
  violations.check(share >= 0 && share <= 1, 'max_undecodable', options.max_undecodable, 'from 0 to 1');
  const classes = options.nb_classes === undefined ? undefined : Number(options.nb_classes);
  violations.check(
    classes === undefined || (Number.isInteger(classes) && classes >= 1 && classes <= 1_000_000),
    'nb_classes',
    classes,
    'from 1 to 1000000',
  );
  violations.throwIfAny();
  return { maxUndecodable: share, nbClasses: classes };
}

export function addDataPush(data: Command, context: Context): void {
  data
    .command('push <path>')
    .description(
      'index a folder and upload the images or shards that the object store does not have yet. After Ctrl-C, the same command continues',
    )
    .option('--kind <kind>', 'format of the data set: IMNET or image_folder, tar (default: detected from the files)')
    .option('--split <split>', 'split to push: train, val, valid, validation or test (default: the folder itself)', '')
    .option('--max_undecodable <share>', 'largest share of the images that may be left out because they cannot be read', '0.001')
    .option('--nb_classes <n>', 'number of classes, if labels leave many numbers out (default: taken from the labels)')
    .option('--store <uri>', 'object store for the manifest (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)')
    .option(
      '--to <uri>',
      'object store for the files; the data service must have it as --source (default: --store, which needs no --source)',
    )
    .addOption(projectOption())
    .option('--json', 'print the result as JSON')
    .action(async (path: string, options: PushCommandOptions) => {
      await interruptible(context, (stoppable) => push(path, options, stoppable));
    });
}

async function push(path: string, options: PushCommandOptions, context: Context): Promise<void> {
  const { env, signal, terminal } = context;
  const storeUri = storeOf(options.store, context);
  if (path.startsWith('s3://'))
    throw new CommandError(`${path} is in an object store already: use \`dropstream data index\` instead`, exitCodes.usage);
  const dataset = await indexAt({ path, split: options.split, kind: datasetKind(options.kind), ...indexLimits(options) }, context);
  const manifest = await Manifest.read(dataset.bytes, dataset.sha256, signal);
  const store = await openStore(storeUri, { env, signal });
  const target = options.to === undefined ? store : await openStore(options.to, { env, signal });
  try {
    const onProgress = progressLines(
      terminal,
      `pushing to ${target.uri}`,
      (done: number, total: number, uploaded: number) => `${count(done)} of ${count(total)} files, ${bytes(uploaded)} uploaded`,
    );
    const pushed = await pushDataset(manifest, new LocalTree(dataset.folder), target, { signal, onProgress });
    // The manifest is stored last, so that whoever can read it can read all of its files.
    await saveManifest(store, dataset, projectIdOf(options), signal);
    terminal.status('');
    const { sha256, kind, samples } = dataset;
    if (options.json) return printJson(context, { manifest: sha256, kind, samples, to: target.uri, ...pushed });
    for (const line of fieldLines([
      ['manifest', sha256],
      ['samples', count(samples)],
      ['to', target.uri],
      ['uploaded', `${count(pushed.uploaded)} of ${count(pushed.files)} files, ${bytes(pushed.uploadedBytes)}`],
    ]))
      terminal.out(line);
  } finally {
    await store.close();
    if (target !== store) await target.close();
  }
}

/** Runs work that Ctrl-C aborts through its signal, so that it can keep its progress. */
export async function interruptible<T>(context: Context, work: (stoppable: Context) => Promise<T>): Promise<T> {
  const stopped = new AbortController();
  const stop = () => stopped.abort(new CommandError('stopped; run the same command again to continue', exitCodes.interrupted));
  process.once('SIGINT', stop);
  try {
    return await work({ ...context, signal: AbortSignal.any([context.signal, stopped.signal]) });
  } finally {
    process.off('SIGINT', stop);
  }
}
