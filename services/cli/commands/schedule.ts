/** `dropstream schedule …`: stores drop-rate schedules, and previews schedules without storing them. */
import { randomUUID } from 'node:crypto';
import { type Command, Option } from 'commander';
import { Violations } from '#errors/errors.js';
import {
  DropKind,
  DropMode,
  DropSchedule,
  DropScheduleSpec,
  type ScheduleSegment,
  SegmentFormula,
} from '#protocol/dropstream/v1/schedule_types.js';
import { GetRatesResponse, PreviewScheduleResponse, Schedule, SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { dropKinds, dropModes, dropSchedules } from '#spec/words.js';
import type { Context } from '../context.js';
import { count, significant } from '../output/numbers.js';
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

interface SpecFlags {
  readonly kind?: (typeof dropKinds.words)[number];
  readonly rate?: string;
  readonly mode?: (typeof dropModes.words)[number];
  readonly dropSchedule?: (typeof dropSchedules.words)[number];
  readonly cutoffEpoch?: string;
}
interface LengthFlags {
  readonly epochs: string;
  readonly stepsPerEpoch: string;
  readonly depth: string;
}

export function addScheduleCommand(program: Command, context: Context): void {
  const schedule = program.command('schedule').description('create, change and preview named drop-rate schedules');
  const call = <R>(options: SharedOptions, use: Parameters<typeof withClient<(typeof SchedulerServiceClient)['service'], R>>[4]) =>
    withClient(SchedulerServiceClient, 'scheduler', options, context, use);
  const show = (s: Schedule | undefined, options: SharedOptions) => {
    if (options.json) return printJson(context, Schedule.toJSON(s!));
    for (const line of fieldLines(scheduleFields(s!))) context.terminal.out(line);
  };
  const shared = (command: Command) => withSharedOptions(command, ['scheduler']);

  withSpec(shared(schedule.command('create <id>').description('store a new schedule as revision 1'))).action(
    async (id: string, o: SharedOptions & SpecFlags) => {
      const { spec } = specOf(o);
      show(
        (await call(o, (c, t) => c.createSchedule({ parent: projectName(o), scheduleId: id, spec, requestId: randomUUID() }, t))).schedule,
        o,
      );
    },
  );

  shared(schedule.command('get <schedule>').description('show the newest revision of a schedule, or the given one'))
    .option('--revision <n>', 'revision to show; 0: the newest', '0')
    .action(async (name: string, o: SharedOptions & { revision: string }) => {
      const request = { name: fullName('schedules', name, o), revision: whole('revision', o.revision) };
      show((await call(o, (c, t) => c.getSchedule(request, t))).schedule, o);
    });

  shared(schedule.command('list').description('list the schedules of a project')).action(async (o: SharedOptions) => {
    const all = await call(o, (c, t) =>
      allPages(10_000, async (pageToken, pageSize) => {
        const page = await c.listSchedules({ parent: projectName(o), pageToken, pageSize }, t);
        printUnreadable(page.unreadable, context);
        return { items: page.schedules, nextPageToken: page.nextPageToken };
      }),
    );
    if (o.json) return printJson(context, all.map(Schedule.toJSON));
    if (all.length === 0) return context.terminal.err(`no schedules in ${projectName(o)}`);
    const columns = ['SCHEDULE', 'REVISION', 'KIND', 'RATE', 'MODE', 'DROP SCHEDULE', 'CUTOFF EPOCH'];
    const cells = all.map((s) => [shortName(s.name), s.revision, ...specCells(s.spec)] as const);
    for (const line of tableLines(
      cells,
      columns.map((title, k) => ({ title, value: (row: (typeof cells)[number]) => row[k] })),
    ))
      context.terminal.out(line);
  });

  withSpec(shared(schedule.command('update <schedule>').description('store a new revision in which the given values are changed')))
    .option('--etag <etag>', 'etag of the newest revision; fails if the schedule has changed since')
    .action(async (name: string, o: SharedOptions & SpecFlags & { etag?: string }) => {
      const { spec, paths } = specOf(o);
      if (paths.length === 0)
        new Violations().add('update', '', 'at least one of --kind, --rate, --mode, --drop-schedule, --cutoff-epoch').throwIfAny();
      const request = { name: fullName('schedules', name, o), spec, updateMask: paths, etag: o.etag ?? '', requestId: randomUUID() };
      show((await call(o, (c, t) => c.updateSchedule(request, t))).schedule, o);
    });

  shared(schedule.command('delete <schedule>').description('delete a schedule; runs that use it keep their revision'))
    .option('--etag <etag>', 'etag of the newest revision; fails if the schedule has changed since')
    .action(async (name: string, o: SharedOptions & { etag?: string }) => {
      const request = { name: fullName('schedules', name, o), etag: o.etag ?? '' };
      await call(o, (c, t) => c.deleteSchedule(request, t));
      if (o.json) printJson(context, { deleted: request.name });
      else context.terminal.err(`deleted ${request.name}`);
    });

  withLength(
    withSpec(
      shared(schedule.command('preview').description('show the rates of a schedule over a training of a given length, without storing it')),
    ),
  )
    .option('--samples <n>', 'number of evenly spaced steps whose rates are shown', '9')
    .action(async (o: SharedOptions & SpecFlags & LengthFlags & { samples: string }) => {
      const request = { spec: specOf(o).spec, length: lengthOf(o), samples: Number(o.samples) };
      const answer = await call(o, (c, t) => c.previewSchedule(request, t));
      if (o.json) return printJson(context, PreviewScheduleResponse.toJSON(answer));
      for (const line of tableLines(answer.segments, segmentColumns)) context.terminal.out(line);
      if (answer.samples.length > 0) context.terminal.out('');
      printRates(answer, context);
    });

  withLength(
    withSpec(
      shared(
        schedule
          .command('rates [schedule]')
          .description('show the rates at given steps, of a stored schedule or of one described by options'),
      ),
    ),
  )
    .requiredOption('--steps <list>', 'numbers of optimizer steps, from 0, separated by commas')
    .option('--revision <n>', 'revision of the stored schedule; 0: the newest', '0')
    .action(async (name: string | undefined, o: SharedOptions & SpecFlags & LengthFlags & { steps: string; revision: string }) => {
      const source = name
        ? ({ $case: 'schedule', value: fullName('schedules', name, o) } as const)
        : ({ $case: 'spec', value: specOf(o).spec } as const);
      const steps = o.steps.split(',').map((text) => whole('steps', text.trim()));
      const request = { source, revision: whole('revision', o.revision), length: lengthOf(o), steps };
      const answer = await call(o, (c, t) => c.getRates(request, t));
      if (o.json) return printJson(context, GetRatesResponse.toJSON(answer));
      printRates({ samples: answer.rates }, context);
    });
}

const withSpec = (command: Command) =>
  command
    .addOption(
      new Option(
        '--kind <kind>',
        'what is dropped: dropout drops activations, drop_path whole residual branches (default: dropout)',
      ).choices(dropKinds.words),
    )
    .option('--rate <p>', 'peak drop rate, [0, 1) (default: 0)')
    .addOption(
      new Option('--mode <mode>', 'when the drop is active: always, before the cutoff epoch, or from it on (default: standard)').choices(
        dropModes.words,
      ),
    )
    .addOption(
      new Option('--drop-schedule <form>', 'how the rate changes while the drop is active (default: constant)').choices(
        dropSchedules.words,
      ),
    )
    .option('--cutoff-epoch <n>', 'epoch at which early drop ends or late drop begins (default: 0)');

const withLength = (command: Command) =>
  command
    .option('--epochs <n>', 'number of epochs of the training', '300')
    .option('--steps-per-epoch <n>', 'number of optimizer steps in an epoch', '312')
    .option('--depth <n>', 'number of residual blocks of the model; 0: show no rates of blocks', '0');

function specOf(o: SpecFlags): { spec: DropScheduleSpec; paths: string[] } {
  const violations = new Violations();
  const number = (field: string, text: string | undefined) => {
    const value = text === undefined ? 0 : Number(text);
    violations.check(!Number.isNaN(value) && text !== '', field, text, 'a number');
    return value;
  };
  const spec = DropScheduleSpec.fromPartial({
    kind: dropKinds.fromWord(o.kind ?? dropKinds.fallback),
    rate: number('rate', o.rate),
    mode: dropModes.fromWord(o.mode ?? dropModes.fallback),
    schedule: dropSchedules.fromWord(o.dropSchedule ?? dropSchedules.fallback),
    cutoffEpoch: number('cutoff_epoch', o.cutoffEpoch),
  });
  violations.throwIfAny();
  const given: [string, string | undefined][] = [
    ['kind', o.kind],
    ['rate', o.rate],
    ['mode', o.mode],
    ['schedule', o.dropSchedule],
    ['cutoff_epoch', o.cutoffEpoch],
  ];
  return { spec, paths: given.filter(([, value]) => value !== undefined).map(([path]) => path) };
}

const lengthOf = (o: LengthFlags) => ({ epochs: Number(o.epochs), stepsPerEpoch: Number(o.stepsPerEpoch), depth: Number(o.depth) });

function whole(field: string, text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) new Violations().add(field, text, 'a whole number').throwIfAny();
  return BigInt(text);
}

const specCells = (spec: DropScheduleSpec | undefined) =>
  [DropKind[spec?.kind ?? 0], spec?.rate, DropMode[spec?.mode ?? 0], DropSchedule[spec?.schedule ?? 0], spec?.cutoffEpoch] as const;

function scheduleFields(s: Schedule): [string, string | number | bigint | undefined][] {
  const [kind, rate, mode, form, cutoff] = specCells(s.spec);
  return [
    ['name', s.name],
    ['revision', s.revision],
    ['kind', kind],
    ['rate', rate],
    ['mode', mode],
    ['drop schedule', form],
    ['cutoff epoch', cutoff],
    ['creator', s.creator],
    ['etag', s.etag],
  ];
}

const segmentColumns = [
  { title: 'FIRST STEP', value: (s: ScheduleSegment) => count(s.start) },
  { title: 'LAST STEP', value: (s: ScheduleSegment) => count(s.end - 1n) },
  { title: 'FORMULA', value: (s: ScheduleSegment) => SegmentFormula[s.formula] },
  { title: 'FROM', value: (s: ScheduleSegment) => significant(s.startValue, 6) },
  { title: 'TO', value: (s: ScheduleSegment) => significant(s.endValue, 6) },
];

function printRates(
  { samples }: { samples: readonly { step: bigint; rate: number; blockRates: readonly number[] }[] },
  context: Context,
): void {
  if (samples.length === 0) return;
  const lines = tableLines(samples, [
    { title: 'STEP', value: (r) => count(r.step) },
    { title: 'RATE', value: (r) => significant(r.rate, 6) },
    ...(samples[0]!.blockRates.length > 0
      ? [
          {
            title: 'BLOCKS',
            value: (r: (typeof samples)[number]) => r.blockRates.map((b) => significant(b, 3)).join(' '),
            align: 'left' as const,
          },
        ]
      : []),
  ]);
  for (const line of lines) context.terminal.out(line);
}
