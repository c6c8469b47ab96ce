// The reference's own return values (../shared/fixtures/README.md §4): relative 1e-12, block rates 1e-7.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sharedFolder, sharedPath } from '../../test/support/shared-folder.js';
import {
  blockRates,
  type DropMode,
  type DropShape,
  dropRate,
  learningRate,
  type ResolvedSchedule,
  ScheduleError,
  weightDecay,
} from './index.js';

const folder = sharedPath('fixtures', 'schedules');
const skip = folder === undefined ? `no fixtures in ${sharedFolder} (set DROPSTREAM_SHARED)` : false;

type Args = Record<string, number> & { drop_mode: DropMode; drop_schedule: DropShape };
interface Case {
  args: Args;
  values: number[];
  at?: number[];
  length?: number;
}
interface Fixture {
  cases: Case[];
  reference_fails_on?: ({ args: Args } | Args)[];
}

const read = (name: string): Fixture => JSON.parse(readFileSync(join(folder!, `${name}.json`), 'utf8')) as Fixture;
const lengthOf = (a: Args) => ({ epochs: a.epochs!, stepsPerEpoch: a.steps_per_epoch! });

function close(actual: number, expected: number, relative: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${what}: ${actual}, expected ${expected}`);
}

const kinds: Record<string, (a: Args) => ResolvedSchedule> = {
  drop_rate: (a) =>
    dropRate({ rate: a.drop_rate!, mode: a.drop_mode, schedule: a.drop_schedule, cutoffEpoch: a.cutoff_epoch! }, lengthOf(a)),
  learning_rate: (a) =>
    learningRate({ lr: a.lr!, minLr: a.min_lr!, warmupEpochs: a.warmup_epochs!, warmupSteps: a.warmup_steps! }, lengthOf(a)),
  weight_decay: (a) => weightDecay({ weightDecay: a.weight_decay!, weightDecayEnd: a.weight_decay_end }, lengthOf(a)),
};

for (const [name, resolve] of Object.entries(kinds)) {
  test(`${name}: every value of the reference`, { skip }, () => {
    const { cases } = read(name);
    assert.ok(cases.length > 0);
    for (const { args, values, at, length } of cases) {
      const schedule = resolve(args);
      assert.equal(schedule.segments.at(-1)!.end, length ?? values.length);
      for (const [k, expected] of values.entries())
        close(schedule.at(at?.[k] ?? k), expected, 1e-12, `${JSON.stringify(args)} at ${at?.[k] ?? k}`);
    }
  });

  test(`${name}: what the reference fails on is refused, or done right where only the reference cannot`, { skip }, () => {
    for (const entry of read(name).reference_fails_on ?? []) {
      const args = 'args' in entry ? (entry.args as Args) : entry;
      // The documented quirk: warmup_steps counts with warmup_epochs 0, too.
      const quirk = args.warmup_epochs === 0 && args.warmup_steps! > 0 && args.warmup_steps! <= args.epochs! * args.steps_per_epoch!;
      if (quirk) {
        const schedule = resolve(args);
        assert.equal(schedule.at(args.warmup_steps! - 1), args.lr);
        assert.equal(schedule.at(args.warmup_steps!), args.lr);
        continue;
      }
      assert.throws(
        () => resolve(args),
        (e) => e instanceof ScheduleError && e.violations.every((v) => v.field !== '' && v.allowed.length > 5),
        JSON.stringify(args),
      );
    }
  });
}

test('block rates', { skip }, () => {
  for (const { args, values } of read('block_rates').cases) {
    const rates = blockRates(args.rate!, args.depth!);
    assert.equal(rates.length, values.length);
    for (const [k, expected] of values.entries()) close(rates[k]!, expected, 1e-7, `${JSON.stringify(args)} block ${k}`);
  }
});
