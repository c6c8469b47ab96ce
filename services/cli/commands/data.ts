/** `dropstream data …`: index, describe and look at data sets. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { DataServiceClient, DescribeDatasetResponse, MixSpec, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { datasetKind, indexAndSave } from '../data-sets.js';
import { count } from '../output/numbers.js';
import { fieldLines, tableLines } from '../output/table.js';
import { addDataPush, type IndexCommandOptions, indexLimits, interruptible } from './data-push.js';
import { printJson, projectName, type SharedOptions, withClient, withSharedOptions } from './shared-options.js';

export function addDataCommand(program: Command, context: Context): void {
  const data = program.command('data').description('index, push, describe and preview data sets');

  data
    .command('index <path>')
    .description(
      'read every image that is new or has changed and store the manifest; prints its SHA-256. Ctrl-C: the same command goes on later',
    )
    .option('--kind <kind>', 'IMNET or image_folder, tar, CIFAR (100), cifar10, cifar100, idx; default: by content')
    .option('--split <split>', 'train, val, valid, validation or test; default: the folder itself, or train', '')
    .option('--max_undecodable <share>', 'share of the images that may be left out because they cannot be read', '0.001')
    .option('--nb_classes <n>', 'number of classes, where labels leave many numbers out; default: by the labels')
    .option('--store <uri>', "where manifests are kept; default: DROPSTREAM_STORE, or the running `up`'s")
    .option('--json', 'print JSON')
    .action(async (path: string, options: IndexCommandOptions) => {
      const store = storeOf(options.store, context);
      const dataset = await interruptible(context, (stoppable) =>
        indexAndSave({ path, split: options.split, kind: datasetKind(options.kind), store, ...indexLimits(options) }, stoppable),
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

  withSharedOptions(data.command('describe <manifest>').description('classes and counts of an indexed data set'), ['data']).action(
    async (manifest: string, options: SharedOptions) => {
      const answer = await withClient(DataServiceClient, 'data', options, context, (client, call) =>
        client.describeDataset({ dataset: { manifest } }, call),
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
    },
  );

  withSharedOptions(
    data.command('preview <manifest>').description('write images of a batch as training sees them, with what was done to each'),
    ['data'],
  )
    .option('--out <dir>', 'folder for the PNG files', 'preview')
    .option('--limit <n>', 'images, 1 to 64', '16')
    .option('--input-size <pixels>', 'height and width', '224')
    .option('--epoch <n>', 'epoch', '0')
    .option('--index <n>', 'batch within the epoch', '0')
    .option('--seed <n>', 'key of the draws', '0')
    .option('--aa <policy>', 'RandAugment; "" turns it off')
    .option('--mixup <alpha>', 'mixup', '0')
    .option('--cutmix <alpha>', 'cutmix', '0')
    .option('--evaluation', 'the evaluation transform instead')
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
      const { images } = await withClient(DataServiceClient, 'data', o, context, (client, call) => client.previewBatch(request, call));
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
