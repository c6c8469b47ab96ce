import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import {
  type CutoffRun,
  type CutoffView,
  decide,
  isUnmeasured,
  measurementAfter,
  nextMeasurement,
  segmentsEndingAt,
} from './adaptive-cutoff.js';
import { modelCatalog } from './model-catalog.js';
import { dropRateAt, dropSegments } from './run-rates.js';
import { resolveRunSpec } from './run-spec.js';

const stepsPerEpoch = 5;
const data = { samples: 320, classes: ['a', 'b'] };
const resolve = (part: Partial<RunSpec>) =>
  resolveRunSpec(
    RunSpec.fromPartial({
      model: 'vit_nano_p7',
      epochs: 12,
      warmupEpochs: 1,
      dropout: 0.2,
      dropMode: DropMode.EARLY,
      cutoff: DropCutoff.ADAPTIVE,
      ...part,
    }),
    modelCatalog,
    data,
  );
const runOf = (part: Partial<RunSpec>, cutoff?: CutoffView): CutoffRun => ({
  run: { spec: resolve(part), stepsPerEpoch: BigInt(stepsPerEpoch) },
  cutoff,
});

const stepsOf = (run: CutoffRun): number[] => {
  const steps: number[] = [];
  for (let step = measurementAfter(run, 0); step !== undefined; step = measurementAfter(run, step)) steps.push(step);
  return steps;
};

test('epochs are measured at intervals, as long as what follows can come before the latest end', () => {
  assert.deepEqual(
    stepsOf(runOf({})),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((epoch) => 5 * epoch),
  );
  assert.deepEqual(stepsOf(runOf({ cutoffEvery: 3 })), [15, 30, 45]);
  assert.deepEqual(stepsOf(runOf({ cutoffEvery: 3, cutoffEpoch: 7 })), [15]);
  assert.deepEqual(stepsOf(runOf({ cutoffEpoch: 1 })), []);
  assert.deepEqual(stepsOf(runOf({ cutoff: DropCutoff.FIXED, cutoffEpoch: 12 })), []);
  assert.deepEqual(stepsOf(runOf({}, { measuredStep: 10, notHelping: 2, ends: true })), []);
  assert.equal(nextMeasurement(runOf({}, { measuredStep: 10, notHelping: 1, ends: false })), 15);
  const measured = runOf({ cutoffEvery: 2 }, { measuredStep: 10, notHelping: 1, ends: false });
  assert.deepEqual(
    [10, 11, 15, 20, 30, 55].map((step) => isUnmeasured(measured, step)),
    [false, false, false, true, true, false],
  );
});

test('drop ends after as many measurements in a row as the patience says; one that failed counts neither way', () => {
  const ends = (patience: number, history: string): number | undefined => {
    let cutoff: CutoffView | undefined;
    for (const [k, one] of [...history].entries()) {
      const errors = one === 'x' ? undefined : { withDrop: one === '+' ? 0.1 : one === '=' ? 0.2 : 0.3, withoutDrop: 0.2 };
      cutoff = { measuredStep: 5 * (k + 1), ...decide(runOf({ cutoffPatience: patience }, cutoff), errors) };
      if (cutoff.ends) return k;
    }
    return undefined;
  };
  assert.equal(ends(2, '--'), 1);
  assert.equal(ends(2, '-+-+-+'), undefined);
  assert.equal(ends(2, '-+-='), 3);
  assert.equal(ends(2, '-xx-'), 3);
  assert.equal(ends(2, '-xxxx'), undefined);
  assert.equal(ends(1, '++='), 2);
  assert.equal(ends(3, '--+---'), 5);
});

test('the decision is a function of the log: a fold that is interrupted anywhere goes on to the same end', () => {
  const errors = fc.record({
    withDrop: fc.double({ min: 0, max: 1, noNaN: true }),
    withoutDrop: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(
      fc.array(fc.option(errors, { nil: undefined }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 4 }),
      (all, cutoffPatience) => {
        const fold = (from: CutoffView | undefined, list: typeof all): CutoffView | undefined => {
          let cutoff = from;
          for (const one of list) {
            if (cutoff?.ends) break;
            cutoff = { measuredStep: (cutoff?.measuredStep ?? 0) + 5, ...decide(runOf({ cutoffPatience }, cutoff), one) };
          }
          return cutoff;
        };
        for (let k = 0; k <= all.length; k++) {
          const stored = JSON.stringify(fold(undefined, all.slice(0, k)));
          const before = stored === undefined ? undefined : (JSON.parse(stored) as CutoffView);
          assert.deepEqual(fold(before, all.slice(k)), fold(undefined, all));
        }
      },
    ),
  );
});

test('from the step on there is no drop; a constant rate before it stays in the segments', () => {
  for (const dropSchedule of [DropSchedule.CONSTANT, DropSchedule.LINEAR]) {
    const own = dropSegments(resolve({ dropSchedule }), stepsPerEpoch);
    const segments = segmentsEndingAt(20, own, 60);
    const changes = [
      { effectiveStep: 0, segments: own },
      { effectiveStep: 20, segments },
    ];
    for (let step = 0; step < 60; step++)
      assert.equal(dropRateAt(changes, step), step < 20 ? dropRateAt(changes.slice(0, 1), step) : 0, `rate of step ${step}`);
    const constant = dropSchedule === DropSchedule.CONSTANT;
    assert.deepEqual(
      segments.map(({ start, end, startValue }) => [start, end, startValue]),
      constant
        ? [
            [0n, 20n, 0.2],
            [20n, 60n, 0],
          ]
        : [[0n, 60n, 0]],
    );
  }
});
