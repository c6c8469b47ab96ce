import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  blockRates,
  type DropSpec,
  dropRate,
  learningRate,
  microstepsPerEpoch,
  optimizerStep,
  type ResolvedSchedule,
  ScheduleError,
  stepsPerEpoch,
  totalSteps,
  weightDecay,
} from './index.js';

const length = fc.record({ epochs: fc.integer({ min: 1, max: 12 }), stepsPerEpoch: fc.integer({ min: 1, max: 9 }) });
/** Subnormal rates would only test the rounding of subnormals. */
const rate = fc.double({ min: 0, max: 0.999, noNaN: true }).map((r) => (r < 1e-12 ? 0 : r));
const drop = length
  .chain((l) =>
    fc.tuple(
      fc.record({
        rate,
        mode: fc.constantFrom('standard' as const, 'early' as const, 'late' as const),
        schedule: fc.constantFrom('constant' as const, 'linear' as const),
        cutoffEpoch: fc.integer({ min: 0, max: l.epochs }),
      }),
      fc.constant(l),
    ),
  )
  .filter(([s]) => !(s.mode === 'late' && s.schedule === 'linear'));

/** recipe.md §2 implemented as its table reads, as one array. */
function tableOf({ rate: p, mode, schedule, cutoffEpoch }: Required<DropSpec>, epochs: number, s: number): number[] {
  const values = Array.from({ length: epochs * s }, (_, i) => {
    const n = cutoffEpoch * s;
    if (mode === 'standard') return p;
    if (mode === 'late') return i < n ? 0 : p;
    if (i >= n) return 0;
    return schedule === 'constant' || n === 1 ? p : p * (1 - i / (n - 1));
  });
  return values;
}

test('drop rate: the segments give the per-step values exactly, for any arguments', () => {
  fc.assert(
    fc.property(drop, ([spec, l]) => {
      const schedule = dropRate(spec, l);
      const expected = tableOf(spec, l.epochs, l.stepsPerEpoch);
      assert.deepEqual(
        expected.map((_, i) => schedule.at(i)),
        expected,
      );
    }),
  );
});

function assertCovers(schedule: ResolvedSchedule, total: number): void {
  let at = 0;
  for (const segment of schedule.segments) {
    assert.equal(segment.start, at);
    assert.ok(segment.end > segment.start);
    if (segment.formula === 'cosine') {
      // end + (start − end) rounds once.
      assert.ok(
        Math.abs(schedule.at(segment.start) - segment.startValue) <= 4 * Number.EPSILON * Math.max(segment.startValue, segment.endValue),
      );
    } else {
      assert.equal(schedule.at(segment.start), segment.startValue);
      assert.equal(schedule.at(segment.end - 1), segment.endValue);
    }
    at = segment.end;
  }
  assert.equal(at, total);
  for (const step of [-1, total, 0.5, Number.NaN]) assert.throws(() => schedule.at(step), RangeError);
}

test('every schedule covers the training without gaps and meets its end points', () => {
  fc.assert(
    fc.property(
      drop,
      fc.integer({ min: -1, max: 20 }),
      fc.integer({ min: 0, max: 12 }),
      rate,
      ([spec, l], warmupSteps, warmupEpochs, end) => {
        const total = totalSteps(l);
        assertCovers(dropRate(spec, l), total);
        assertCovers(weightDecay({ weightDecay: spec.rate, weightDecayEnd: end }, l), total);
        const warm = warmupSteps > 0 ? warmupSteps : warmupEpochs * l.stepsPerEpoch;
        const lr = () => learningRate({ lr: 0.004, minLr: 1e-6, warmupEpochs, warmupSteps }, l);
        if (warm > total) assert.throws(lr, ScheduleError);
        else assertCovers(lr(), total);
      },
    ),
  );
});

test('a schedule of 10^13 steps costs what a short one does', () => {
  const huge = { epochs: 100_000, stepsPerEpoch: 100_000_000 };
  const drops = dropRate({ rate: 0.5, mode: 'early', schedule: 'linear', cutoffEpoch: 50_000 }, huge);
  assert.equal(drops.segments.length, 2);
  assert.equal(drops.at(0), 0.5);
  assert.equal(drops.at(5e12 - 1), 0);
  assert.ok(Math.abs(drops.at(2.5e12) - 0.25) < 1e-12);
  assert.equal(learningRate({ lr: 1, warmupEpochs: 1 }, huge).at(1e8), 1);
});

test('edge cases of the recipe', () => {
  const l = { epochs: 3, stepsPerEpoch: 1 };
  const values = (spec: DropSpec): number[] => [0, 1, 2].map((i) => dropRate(spec, l).at(i));
  assert.deepEqual(values({ rate: 0.5, mode: 'early' }), [0, 0, 0], 'early with cutoff 0');
  assert.deepEqual(values({ rate: 0.5, mode: 'late' }), [0.5, 0.5, 0.5], 'late with cutoff 0');
  assert.deepEqual(values({ rate: 0.5, mode: 'early', schedule: 'linear', cutoffEpoch: 1 }), [0.5, 0, 0], 'n = 1');
  assert.deepEqual(values({ rate: 0.5, mode: 'early', schedule: 'linear', cutoffEpoch: 3 }), [0.5, 0.25, 0], 'cutoff = epochs');
  assert.deepEqual(values({ rate: 0.5, cutoffEpoch: 99 }), [0.5, 0.5, 0.5], 'standard ignores the cutoff');
  assert.deepEqual(values({ rate: 0, mode: 'late', cutoffEpoch: 1 }), [0, 0, 0]);
  const warm = learningRate({ lr: 1, minLr: 0, warmupSteps: 1 }, l);
  assert.deepEqual([warm.at(0), warm.at(1)], [0, 1], 'a warm-up of one step is [0]');
  const twice = learningRate({ lr: 1, minLr: 0, warmupSteps: 2 }, l);
  assert.deepEqual([twice.at(0), twice.at(1), twice.at(2)], [0, 1, 1], 'lr twice in a row');
  assert.equal(learningRate({ lr: 1, warmupEpochs: 3 }, l).at(2), 1, 'warm-up as long as the training');
});

test('the error names all violations at once', () => {
  const violationsOf = (run: () => unknown): string[] => {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof ScheduleError);
      return error.violations.map((v) => v.field);
    }
    return [];
  };
  const l = { epochs: 3, stepsPerEpoch: 2 };
  for (const bad of [-0.1, 1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.deepEqual(
      violationsOf(() => dropRate({ rate: bad }, l)),
      ['rate'],
    );
    assert.deepEqual(
      violationsOf(() => blockRates(bad, 12)),
      ['rate'],
    );
  }
  assert.deepEqual(
    violationsOf(() => dropRate({ rate: 0.1, mode: 'early', cutoffEpoch: 4 }, l)),
    ['cutoff_epoch'],
  );
  assert.deepEqual(
    violationsOf(() => dropRate({ rate: 2, mode: 'late', schedule: 'linear', cutoffEpoch: -1 }, { epochs: 0, stepsPerEpoch: 0.5 })),
    ['rate', 'cutoff_epoch', 'drop_schedule', 'epochs', 'steps_per_epoch'],
  );
  assert.deepEqual(
    violationsOf(() => dropRate({ rate: 0.1, mode: 'middle' as never, schedule: 'cosine' as never }, l)),
    ['drop_mode', 'drop_schedule'],
  );
  assert.deepEqual(
    violationsOf(() => learningRate({ lr: -1, minLr: Number.NaN, warmupEpochs: 4 }, l)),
    ['lr', 'min_lr', 'warmup_epochs'],
  );
  assert.deepEqual(
    violationsOf(() => learningRate({ lr: 1, warmupEpochs: 0, warmupSteps: 7 }, l)),
    ['warmup_steps'],
  );
  assert.deepEqual(
    violationsOf(() => weightDecay({ weightDecay: -1, weightDecayEnd: -1 }, l)),
    ['weight_decay', 'weight_decay_end'],
  );
  assert.deepEqual(
    violationsOf(() => blockRates(0.5, 0)),
    ['depth'],
  );
  assert.deepEqual(
    violationsOf(() => stepsPerEpoch(100, 64, 2)),
    ['batch_size'],
  );
});

test('block rates: 0 first, the rate last, exactly; never falling', () => {
  fc.assert(
    fc.property(rate, fc.integer({ min: 1, max: 60 }), (p, depth) => {
      const rates = blockRates(p, depth);
      assert.equal(rates.length, depth);
      assert.equal(rates[0], 0);
      if (depth > 1) assert.equal(rates[depth - 1], p);
      for (let k = 1; k < depth; k++) assert.ok(rates[k]! >= rates[k - 1]!);
    }),
  );
});

test('micro-batches count as the recipe says: windows share a step, trailing ones are skipped', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 400 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 4 }),
      (samples, batch, updateFreq) => {
        fc.pre(samples >= batch * updateFreq);
        const l = { epochs: 3, stepsPerEpoch: stepsPerEpoch(samples, batch, updateFreq) };
        const used = microstepsPerEpoch(l, updateFreq);
        const loaded = Math.floor(samples / batch);
        assert.ok(used <= loaded);
        const steps: number[] = [];
        for (let epoch = 0; epoch < l.epochs; epoch++) {
          for (let microstep = 0; microstep < loaded; microstep++) {
            const step = optimizerStep(l, updateFreq, epoch, microstep);
            assert.equal(step === undefined, microstep >= used);
            if (step !== undefined) steps.push(step);
          }
        }
        assert.deepEqual(
          steps,
          Array.from({ length: totalSteps(l) * updateFreq }, (_, i) => Math.floor(i / updateFreq)),
        );
      },
    ),
  );
});
