/** schedules/: every value of the reference's own functions, and what they fail on. */
import {
  blockRates,
  type DropMode,
  type DropShape,
  dropRate,
  learningRate,
  type ResolvedSchedule,
  ScheduleError,
  weightDecay,
} from '#schedule/index.js';
import { type Check, holds, relative, same } from '../../support/checks.js';
import { listed, type ParityCase, type ParitySource, short } from '../parity-case.js';

type Args = Record<string, number> & { drop_mode: DropMode; drop_schedule: DropShape };

interface ScheduleFile {
  cases: { args: Args; values: number[]; at?: number[]; length?: number; reference_float32?: number[] }[];
  reference_fails_on?: ({ args: Args } | Args)[];
}

const lengthOf = (args: Args) => ({ epochs: args.epochs!, stepsPerEpoch: args.steps_per_epoch! });

const kinds: Readonly<Record<string, (args: Args) => ResolvedSchedule>> = {
  drop_rate: (a) =>
    dropRate({ rate: a.drop_rate!, mode: a.drop_mode, schedule: a.drop_schedule, cutoffEpoch: a.cutoff_epoch! }, lengthOf(a)),
  learning_rate: (a) =>
    learningRate({ lr: a.lr!, minLr: a.min_lr!, warmupEpochs: a.warmup_epochs!, warmupSteps: a.warmup_steps! }, lengthOf(a)),
  weight_decay: (a) => weightDecay({ weightDecay: a.weight_decay!, weightDecayEnd: a.weight_decay_end ?? undefined }, lengthOf(a)),
};

const RELATIVE = 1e-12;

/** Relative 1e-12; where a long line to zero nears its end, both sides are rounded at the size of its start, and no better. */
function close(what: string, actual: number, expected: number, peak: number): Check {
  const room = expected === 0 ? 0 : (2 ** -51 * peak) / Math.abs(expected);
  return relative(what, actual, expected, Math.max(RELATIVE, room));
}

function valueChecks(schedule: ResolvedSchedule, { values, at, length }: ScheduleFile['cases'][number]): Check[] {
  const peak = Math.max(...values.map(Math.abs));
  const steps = same('number of steps', schedule.segments.at(-1)?.end, length ?? values.length);
  if (at !== undefined && at.length !== values.length) throw new Error(`${at.length} places for ${values.length} values`);
  return [steps, ...values.map((expected, k) => close(`step ${at?.[k] ?? k}`, schedule.at(at?.[k] ?? k), expected, peak))];
}

/** Refused with every field named; the documented quirk alone is done right: warmup_steps counts with warmup_epochs 0, too. */
function refusalChecks(resolve: (args: Args) => ResolvedSchedule, args: Args): Check[] {
  const steps = args.warmup_steps ?? 0;
  if (args.warmup_epochs === 0 && steps > 0 && steps <= args.epochs! * args.steps_per_epoch!) {
    const schedule = resolve(args);
    return [
      same('last step of the warm-up', schedule.at(steps - 1), steps === 1 ? 0 : args.lr),
      same('first step after it', schedule.at(steps), args.lr),
    ];
  }
  try {
    resolve(args);
    return [holds('refused', false, 'it was accepted')];
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    const clear = error.violations.length > 0 && error.violations.every(({ field, allowed }) => field !== '' && allowed.length > 5);
    return [holds('refused with every field named', clear, error.message)];
  }
}

export const schedules: ParitySource = {
  group: 'schedules',
  file: /^schedules\/(drop_rate|learning_rate|weight_decay)\.json$/,
  cases(file, { folder }) {
    const kind = /([^/]+)\.json$/.exec(file)![1] as string;
    const resolve = kinds[kind]!;
    const { cases, reference_fails_on = [] } = folder.json<ScheduleFile>(file);
    return [
      ...listed(file, 'cases', cases).map((one): ParityCase => {
        listed(file, 'values', one.values);
        return { name: `schedules/${kind} ${short(one.args)}`, run: () => valueChecks(resolve(one.args), one) };
      }),
      ...reference_fails_on.map((entry): ParityCase => {
        const args = ('args' in entry ? entry.args : entry) as Args;
        return { name: `schedules/${kind} fails there: ${short(args)}`, run: () => refusalChecks(resolve, args) };
      }),
    ];
  },
};

export const blockRateTable: ParitySource = {
  group: 'schedules',
  file: /^schedules\/block_rates\.json$/,
  cases(file, { folder }) {
    return listed(file, 'cases', folder.json<ScheduleFile>(file).cases).map(({ args, values, reference_float32 }) => ({
      name: `schedules/block_rates ${short(args)}`,
      run: () => {
        const rates = blockRates(args.rate!, args.depth!);
        return [
          same('depth', rates.length, values.length),
          ...values.map((expected, k) => relative(`block ${k}`, rates[k]!, expected, 1e-7)),
          ...(reference_float32 ?? []).map((expected, k) => relative(`block ${k}, float32 there`, rates[k]!, expected, 1e-6)),
        ];
      },
    }));
  },
};
