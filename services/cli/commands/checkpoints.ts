/** `dropstream checkpoints …`: lists, shows, exports and imports checkpoints. */
import type { Command } from 'commander';
import { Checkpoint, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import type { Context } from '../context.js';
import { bytes, count } from '../output/numbers.js';
import { fieldLines, tableLines } from '../output/table.js';
import { addCheckpointFileCommands } from './checkpoint-files.js';
import {
  allPages,
  checkpointName,
  fullName,
  printJson,
  printUnreadable,
  type SharedOptions,
  shortName,
  withClient,
  withSharedOptions,
} from './shared-options.js';

export function addCheckpointsCommand(program: Command, context: Context): void {
  const checkpoints = program.command('checkpoints').description('list, show, export and import checkpoints');

  withSharedOptions(checkpoints.command('list <run>').description('list the checkpoints of a run, newest first'), ['trainer'])
    .option('--limit <n>', 'largest number of checkpoints to list', '1000')
    .action(async (run: string, options: SharedOptions & { limit: string }) => {
      const all = await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) =>
        allPages(Number(options.limit), async (pageToken, pageSize) => {
          const page = await client.listCheckpoints({ parent: fullName('runs', run, options), pageToken, pageSize }, call);
          printUnreadable(page.unreadable, context);
          return { items: page.checkpoints, nextPageToken: page.nextPageToken };
        }),
      );
      if (options.json) return printJson(context, all.map(Checkpoint.toJSON));
      if (all.length === 0) return context.terminal.err(`no checkpoints of ${run} yet`);
      for (const line of tableLines(all, columns)) context.terminal.out(line);
    });

  withSharedOptions(
    checkpoints
      .command('get <checkpoint>')
      .description('show the checkpoint RUN, RUN/best or RUN/CHECKPOINT and the URLs and SHA-256 of its files'),
    ['trainer'],
  )
    .option('--expiry <seconds>', 'seconds after which the URLs expire', '3600')
    .action(async (name: string, options: SharedOptions & { expiry: string }) => {
      const { checkpoint } = await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) =>
        client.getCheckpoint({ name: checkpointName(name, options), urlExpirySeconds: Number(options.expiry) || 0 }, call),
      );
      if (options.json) return printJson(context, Checkpoint.toJSON(checkpoint!));
      const { terminal } = context;
      const lines = fieldLines([
        ['name', checkpoint!.name],
        ['step', count(checkpoint!.step)],
        ['epoch', checkpoint!.epoch],
        ['fingerprint', checkpoint!.fingerprint],
        [
          'top-1',
          checkpoint!.top1 === undefined ? undefined : `${checkpoint!.top1.toFixed(2)} %${checkpoint!.best ? ' (best so far)' : ''}`,
        ],
      ]);
      for (const line of lines) terminal.out(line);
      for (const file of checkpoint!.files) {
        terminal.out(`\n${file.role}  ${bytes(file.sizeBytes)}  sha256 ${Buffer.from(file.sha256).toString('hex')}`);
        terminal.out(`  ${file.url || file.key}`);
      }
    });

  addCheckpointFileCommands(checkpoints, context);
}

const columns = [
  { title: 'CHECKPOINT', value: (c: Checkpoint) => shortName(c.name), align: 'left' as const },
  { title: 'STEP', value: (c: Checkpoint) => count(c.step) },
  { title: 'EPOCH', value: (c: Checkpoint) => c.epoch },
  { title: 'SIZE', value: (c: Checkpoint) => bytes(c.files.reduce((sum, file) => sum + file.sizeBytes, 0n)), align: 'right' as const },
  { title: 'TOP-1', value: (c: Checkpoint) => (c.top1 === undefined ? undefined : `${c.top1.toFixed(2)} %`), align: 'right' as const },
  { title: 'BEST', value: (c: Checkpoint) => (c.best ? 'best' : undefined) },
];
