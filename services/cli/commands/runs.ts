/** `dropstream runs …`: lists, follows and controls training runs. */
import type { Command } from 'commander';
import { runEvents, type TrainerClient } from '#client/run-events.js';
import { DropCutoff } from '#protocol/dropstream/v1/schedule_types.js';
import { type Run, Run as RunCodec, RunEvent, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { dropModes, dropSchedules, engines } from '#spec/words.js';
import type { Context } from '../context.js';
import { followRun, throwIfFailed } from '../follow/follow-run.js';
import { type LogFolders, RunLogs } from '../log-files/run-logs.js';
import { count, duration } from '../output/numbers.js';
import { fieldLines, tableLines } from '../output/table.js';
import { addRunsCompare } from './runs-compare.js';
import { addRunsReport } from './runs-report.js';
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

export function addRunsCommand(program: Command, context: Context): void {
  const runs = program.command('runs').description('list, follow and control training runs');

  withSharedOptions(runs.command('list').description('list the runs of a project'), ['trainer'])
    .option('--filter <filter>', 'only runs that match, for example "state = RUNNING AND labels.team = vision"', '')
    .option('--order-by <order>', 'name, create_time or priority, each with or without " desc"', '')
    .option('--limit <n>', 'largest number of runs to list', '1000')
    .action((options: ListOptions) => listRuns(options, context));

  withSharedOptions(runs.command('get <run>').description('show one run'), ['trainer']).action(
    async (name: string, options: SharedOptions) => {
      const { run } = await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) =>
        client.getRun({ name: fullName('runs', name, options) }, call),
      );
      showRun(run!, options, context);
    },
  );

  withSharedOptions(
    runs
      .command('watch <run>')
      .description(
        'follow a run until it ends, with its curves on a terminal; with --json, print every event of its log as a line of JSON',
      ),
    ['trainer'],
  )
    .option('--after <sequence>', 'with --json: print only events with a greater sequence number', '0')
    .option(
      '--output-dir <folder>',
      'folder for log.txt, which gets one line of JSON per epoch; missing lines are added to an existing file',
    )
    .option('--log-dir <folder>', 'folder for a TensorBoard event file; missing events are added to an existing file')
    .action(async (name: string, options: SharedOptions & { after: string; outputDir?: string; logDir?: string }) => {
      const folders = { outputDir: options.outputDir ?? '', logDir: options.logDir ?? '' };
      await withClient(TrainerServiceClient, 'trainer', options, context, async (client) => {
        const run = fullName('runs', name, options);
        if (!options.json) {
          await followRun(client, run, context, { folders, curves: true });
          return;
        }
        await printEvents(client, run, /^\d{1,18}$/.test(options.after) ? BigInt(options.after) : 0n, folders, context);
      });
    });

  addRunsCompare(runs, context);
  addRunsReport(runs, context);

  const steer = (verb: 'pause' | 'resume' | 'cancel', description: string) =>
    withSharedOptions(runs.command(`${verb} <run>`).description(description), ['trainer']).action(
      async (name: string, options: SharedOptions) => {
        const request = { name: fullName('runs', name, options) };
        const { run } = await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) => {
          if (verb === 'pause') return client.pauseRun(request, call);
          return verb === 'resume' ? client.resumeRun(request, call) : client.cancelRun(request, call);
        });
        showRun(run!, options, context);
      },
    );
  steer('pause', 'save a checkpoint after the current step and stop');
  steer('resume', 'put a paused run back into the queue');
  steer('cancel', 'end a run; it cannot be resumed');

  withSharedOptions(runs.command('delete <run>').description('delete a run that has ended, with its log and checkpoints'), ['trainer'])
    .option('--etag <etag>', 'etag of the run; fails if the run has changed since')
    .action(async (name: string, options: SharedOptions & { etag?: string }) => {
      const request = { name: fullName('runs', name, options), etag: options.etag ?? '' };
      await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) => client.deleteRun(request, call));
      if (options.json) printJson(context, { deleted: request.name });
      else context.terminal.err(`deleted ${request.name}`);
    });
}

async function listRuns({ filter, orderBy, limit, ...options }: ListOptions, context: Context): Promise<void> {
  const all = await withClient(TrainerServiceClient, 'trainer', options, context, (client, call) =>
    allPages(Number(limit), async (pageToken, pageSize) => {
      const page = await client.listRuns({ parent: projectName(options), pageToken, pageSize, filter, orderBy }, call);
      printUnreadable(page.unreadable, context);
      return { items: page.runs, nextPageToken: page.nextPageToken };
    }),
  );
  if (options.json) return printJson(context, all.map(RunCodec.toJSON));
  const matching = filter === '' ? '' : ` match ${filter}`;
  if (all.length === 0) return context.terminal.err(`no runs in ${projectName(options)}${matching}`);
  const columns = all.some(({ labels }) => Object.keys(labels).length > 0) ? [...runColumns, labelsColumn] : runColumns;
  for (const line of tableLines(all, columns)) context.terminal.out(line);
}

/** Prints every event after the sequence `after` as a line; log files get the earlier events too. */
async function printEvents(client: TrainerClient, name: string, after: bigint, folders: LogFolders, context: Context): Promise<void> {
  const { run } = await client.getRun({ name }, { timeoutMs: 30_000, signal: context.signal });
  const logs = await RunLogs.open(folders, run!, context.cwd);
  try {
    for await (const event of runEvents(client, name, { after: logs ? 0n : after, signal: context.signal })) {
      await logs?.take(event);
      if (event.sequence > after) context.terminal.out(JSON.stringify(RunEvent.toJSON(event)));
    }
  } finally {
    await logs?.close();
  }
  const end = await client.getRun({ name }, { timeoutMs: 30_000, signal: context.signal });
  throwIfFailed(end.run!);
}

interface ListOptions extends SharedOptions {
  readonly filter: string;
  readonly orderBy: string;
  readonly limit: string;
}

const labelsOf = ({ labels }: Run): string =>
  Object.keys(labels)
    .sort()
    .map((key) => `${key}=${labels[key]}`)
    .join(',');

const labelsColumn = { title: 'LABELS', value: labelsOf };

const percent = (value: number | undefined) => (value === undefined ? undefined : `${value.toFixed(2)} %`);

const runColumns = [
  { title: 'RUN', value: (run: Run) => shortName(run.name) },
  { title: 'STATE', value: (run: Run) => (run.pauseRequested && run.state === RunState.RUNNING ? 'PAUSING' : RunState[run.state]) },
  { title: 'MODEL', value: (run: Run) => run.spec?.model },
  { title: 'STEP', value: (run: Run) => count(run.step) },
  { title: 'OF', value: (run: Run) => count(run.totalSteps) },
  { title: 'BEST TOP-1', value: (run: Run) => percent(run.bestTop1), align: 'right' as const },
  { title: 'AGE', value: (run: Run) => (run.createTime ? duration((Date.now() - run.createTime.getTime()) / 1000) : undefined) },
  { title: 'WHY', value: (run: Run) => run.failure || (run.evaluationsSucceeded === 0 ? run.evaluationFailure : '') },
];

function evaluationsOf({ evaluationsSucceeded: succeeded, evaluationsFailed: failed }: Run): string | undefined {
  return succeeded + failed === 0 ? undefined : `${count(succeeded)} succeeded, ${count(failed)} failed`;
}

function engineOf({ spec, engine }: Run): string {
  const asked = engines.wordOf(spec?.engine);
  return asked === 'auto' && engine ? `auto, at present ${engines.wordOf(engine)}` : asked;
}

function showRun(run: Run, options: SharedOptions, context: Context): void {
  if (options.json) {
    printJson(context, RunCodec.toJSON(run));
    return;
  }
  const { spec } = run;
  const drop = spec?.dropPath ? `drop_path ${spec.dropPath}` : `dropout ${spec?.dropout ?? 0}`;
  const lines = fieldLines([
    ['name', run.name],
    ['state', RunState[run.state]],
    ['model', `${spec?.model} (${count(run.parameters)} parameters)`],
    [
      'drop',
      `${drop}, ${dropModes.wordOf(spec?.dropMode)}, ${dropSchedules.wordOf(spec?.dropSchedule)}, cutoff_epoch ${spec?.cutoffEpoch ?? 0}${spec?.cutoff === DropCutoff.ADAPTIVE ? ' at the latest (adaptive cutoff)' : ''}`,
    ],
    ['step', `${count(run.step)} of ${count(run.totalSteps)} (${count(run.stepsPerEpoch)} an epoch)`],
    ['engine', engineOf(run)],
    ['creator', run.creator],
    ['labels', labelsOf(run)],
    ['attempt', run.attempt],
    ['workers', run.workers.join(', ')],
    ['latest checkpoint', run.latestCheckpoint],
    ['best checkpoint', run.bestCheckpoint && `${run.bestCheckpoint} (top-1 ${percent(run.bestTop1)})`],
    ['status', run.statusMessage],
    ['failure', run.failure],
    ['evaluations', evaluationsOf(run)],
    ['evaluation failure', run.evaluationFailure],
    ['log sequence', run.logSequence],
    ['etag', run.etag],
  ]);
  for (const line of lines) context.terminal.out(line);
}
