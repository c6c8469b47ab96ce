import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Violations } from '#errors/errors.js';
import { DropKind, DropMode, DropSchedule, type DropScheduleSpec, SegmentFormula } from '#protocol/dropstream/v1/schedule_types.js';
import { dropRate } from '#schedule/index.js';
import {
  checkDropSchedule,
  dropScheduleOf,
  dropSpecOf,
  fromStored,
  runDropOf,
  segmentMessage,
  segmentOf,
  storedDropSchedule,
  toStored,
} from './drop-schedules.js';

const anySchedule: fc.Arbitrary<DropScheduleSpec> = fc
  .record({
    kind: fc.constantFrom(DropKind.UNSPECIFIED, DropKind.DROPOUT, DropKind.DROP_PATH),
    rate: fc.double({ min: 0, max: 0.99, noNaN: true }),
    mode: fc.constantFrom(DropMode.UNSPECIFIED, DropMode.STANDARD, DropMode.EARLY, DropMode.LATE),
    schedule: fc.constantFrom(DropSchedule.UNSPECIFIED, DropSchedule.CONSTANT, DropSchedule.LINEAR),
    cutoffEpoch: fc.integer({ min: 0, max: 9 }),
  })
  .filter(({ mode, schedule }) => !(mode === DropMode.LATE && schedule === DropSchedule.LINEAR));

test('a schedule survives its stored form and the drop options of a run', () => {
  fc.assert(
    fc.property(anySchedule, (message) => {
      const violations = new Violations();
      const checked = checkDropSchedule(violations, message, 'spec')!;
      violations.throwIfAny();
      assert.ok(checked.kind > 0 && checked.mode > 0 && checked.schedule > 0);
      assert.deepEqual(fromStored(storedDropSchedule.parse(JSON.parse(JSON.stringify(toStored(checked))))), checked);
      assert.deepEqual(dropSpecOf(message), dropSpecOf(checked));
      assert.deepEqual(runDropOf(message), runDropOf(checked));
      const again = dropScheduleOf(runDropOf(checked));
      // A run without drop does not say what it would drop.
      assert.deepEqual(again, checked.rate === 0 ? { ...checked, kind: DropKind.DROPOUT } : checked);
    }),
  );
});

test('segments survive their message', () => {
  fc.assert(
    fc.property(anySchedule, (message) => {
      const { segments } = dropRate(dropSpecOf(message), { epochs: 9, stepsPerEpoch: 7 });
      assert.deepEqual(segments.map(segmentMessage).map(segmentOf), segments);
    }),
  );
  const segment = { start: 0n, end: 1n, formula: SegmentFormula.UNSPECIFIED, startValue: 0, endValue: 0 };
  assert.throws(() => segmentOf(segment), RangeError);
  assert.throws(() => segmentMessage({ start: 0, end: 1, formula: 'cosine', startValue: 0, endValue: 0 }), RangeError);
});

test('a schedule with unknown numbers is refused, each field named', () => {
  const violations = new Violations();
  const message = { kind: 7 as DropKind, rate: 2, mode: -1 as DropMode, schedule: 3 as DropSchedule, cutoffEpoch: 0 };
  assert.equal(checkDropSchedule(violations, message, 'spec'), undefined);
  assert.deepEqual(
    violations.list.map(({ field }) => field),
    ['spec.kind', 'spec.mode', 'spec.schedule', 'spec.rate'],
  );
});

test('a stored schedule with a word that is none of ours is refused', () => {
  const stored = toStored({ kind: 1, rate: 0.1, mode: 2, schedule: 1, cutoffEpoch: 1 });
  assert.ok(storedDropSchedule.safeParse(stored).success);
  for (const change of [{ mode: 'early' }, { kind: 'UNRECOGNIZED' }, { schedule: 'DROP_SCHEDULE_COSINE' }])
    assert.ok(!storedDropSchedule.safeParse({ ...stored, ...change }).success);
});
