/** `dropstream data …`: index, push, share, describe and preview data sets. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { DataServiceClient, DescribeDatasetResponse, MixSpec, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { datasetKind, indexAndSave } from '../data-sets.js';
import { count } from '../output/numbers.js';
import { fieldLines, tableLines } from '../output/table.js';
import { previewImages } from '../preview-images.js';
import { addDataPush, type IndexCommandOptions, indexLimits, interruptible } from './data-push.js';
import { addDataShare } from './data-share.js';
import { printJson, projectIdOf, projectName, projectOption, type SharedOptions, withClient, withSharedOptions } from './shared-options.js';

export function addDataCommand(program: Command, context: Context): void {
  const data = program.command('data').description('index, push, share, describe and preview data sets');

  data
    .command('index <path>')
    .description(
      'index a data set: read every image that is new or has changed, store the manifest, print its SHA-256. After Ctrl-C, the same command continues',
    )
    .option(
      '--kind <kind>',
      'format of the data set: IMNET or image_folder, tar, CIFAR (CIFAR-100), cifar10, cifar100, idx (default: detected from the files)',
    )
    .option(
      '--split <split>',
      'split to index: train, val, valid, validation or test (default: the folder itself, or train for a format that has splits)',
      '',
    )
    .option('--max_undecodable <share>', 'largest share of the images that may be left out because they cannot be read', '0.001')
    .option('--nb_classes <n>', 'number of classes, if labels leave many numbers out (default: taken from the labels)')
    .option(
      '--labels <file>',
      'labels of images that have no class folders: lines of a file name and its class, as in LOC_val_solution.csv or val.txt (default: such a file beside the images)',
    )
    .option('--store <uri>', 'object store for the manifest (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)')
    .addOption(projectOption())
    .option('--json', 'print the result as JSON')
    .action(async (path: string, options: IndexCommandOptions) => {
      const store = storeOf(options.store, context);
      const dataset = await interruptible(context, (stoppable) =>
        indexAndSave(
          {
            path,
            split: options.split,
            kind: datasetKind(options.kind),
            store,
            project: projectIdOf(options),
            labels: options.labels,
            ...indexLimits(options),
          },
          stoppable,
        ),
      );
      const { sha256, kind, folder, samples, classes, skipped, ignored, unchanged, warnings } = dataset;
      if (options.json)
        return printJson(context, { manifest: sha256, kind, folder, samples, classes, skipped, ignored, unchanged, warnings });
      const lines = fieldLines([
        ['manifest', sha256],
        ['kind', kind],
        ['folder', folder],
        ['samples', count(samples)],
        ['classes', `${classes.length}: ${classes.slice(0, 12).join(', ')}${classes.length > 12 ? ', …' : ''}`],
        ['left out', skipped.length || undefined],
        ['other files', ignored || undefined],
        ['unchanged', unchanged > 0 ? `${count(unchanged)} samples, not read again` : undefined],
      ]);
      for (const line of lines) context.terminal.out(line);
    });

  addDataPush(data, context);
  addDataShare(data, context);

  withSharedOptions(
    data.command('describe <manifest>').description('show the classes of an indexed data set and how many samples each has'),
    ['data'],
  ).action(async (manifest: string, options: SharedOptions) => {
    const answer = await withClient(DataServiceClient, 'data', options, context, (client, call) =>
      client.describeDataset({ parent: projectName(options), dataset: { manifest } }, call),
    );
    if (options.json) return printJson(context, DescribeDatasetResponse.toJSON(answer));
    context.terminal.out(`${answer.kind}, ${count(answer.samples)} samples, ${answer.classes.length} classes\n`);
    const rows = answer.classes.map((name, label) => ({ label, name, samples: answer.classCounts[label] ?? 0n }));
    const lines = tableLines(rows, [
      { title: 'LABEL', value: (row) => row.label },
      { title: 'CLASS', value: (row) => row.name, align: 'left' },
      { title: 'SAMPLES', value: (row) => count(row.samples) },
    ]);
    for (const line of lines) context.terminal.out(line);
  });

  withSharedOptions(
    data
      .command('preview <manifest>')
      .description('write images of a batch as PNG files, as training sees them, and list the transforms of each'),
    ['data'],
  )
    .option('--out <dir>', 'folder for the PNG files', 'preview')
    .option('--limit <n>', 'number of images, 1 to 64', '16')
    .option('--input-size <pixels>', 'height and width of the images in pixels', '224')
    .option('--epoch <n>', 'epoch, from 0', '0')
    .option('--index <n>', 'number of the batch within the epoch, from 0', '0')
    .option('--seed <n>', 'seed of the data order and the augmentation', '0')
    .option('--aa <policy>', 'RandAugment policy; "" turns it off')
    .option('--mixup <alpha>', 'alpha of mixup; 0 turns it off', '0')
    .option('--cutmix <alpha>', 'alpha of cutmix; 0 turns it off', '0')
    .option('--evaluation', 'use the evaluation transform instead of the training transform')
    .action(async (manifest: string, o: SharedOptions & Record<string, string | undefined> & { evaluation?: boolean }) => {
      const limit = Number(o.limit);
      const mixes = Number(o.mixup) > 0 || Number(o.cutmix) > 0;
      const plan = {
        dataset: { manifest },
        seed: BigInt(o.seed ?? 0),
        batchSize: limit + (limit % 2),
        rank: 0,
        worldSize: 1,
        order: SampleOrder.SHUFFLED,
        transform: TransformSpec.fromPartial({ inputSize: Number(o.inputSize), training: !o.evaluation, aa: o.aa }),
        mix: mixes ? MixSpec.fromPartial({ mixup: Number(o.mixup), cutmix: Number(o.cutmix) }) : undefined,
        pixelSemantics: 0,
        subsetStride: 0,
        subsetOffset: 0,
        subsetInvert: false,
      };
      const request = { parent: projectName(o), plan, epoch: Number(o.epoch), index: Number(o.index), limit };
      const images = await withClient(DataServiceClient, 'data', o, context, (client, call) => previewImages(client, request, call));
      const folder = o.out ?? 'preview';
      await mkdir(folder, { recursive: true });
      const rows = await Promise.all(
        images.map(async (image, slot) => {
          const file = join(folder, `${String(slot).padStart(2, '0')}-${image.className.replace(/[^\w-]+/g, '_')}.png`);
          await writeFile(file, image.png);
          return { file, sample: image.sample.toString(), class: image.className, steps: image.steps };
        }),
      );
      if (o.json) return printJson(context, rows);
      const lines = tableLines(rows, [
        { title: 'FILE', value: (row) => row.file, align: 'left' },
        { title: 'SAMPLE', value: (row) => row.sample },
        { title: 'WHAT WAS DONE', value: (row) => row.steps.join('; '), align: 'left' },
      ]);
      for (const line of lines) context.terminal.out(line);
    });
}
