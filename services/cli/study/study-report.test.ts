import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MeasuredRun } from './measured-run.js';
import { Curves } from './measured-run.js';
import { studyPage } from './study-page.js';
import { type ReportOptions, reportOf } from './study-report.js';

const plain: ReportOptions = { baseline: 'none', anyFingerprint: false, arms: ['none', 'early', 'late'] };

const measured = (arm: string, seed: number, losses: readonly number[], more: Partial<MeasuredRun> = {}): MeasuredRun => ({
  run: `s-${arm}-${seed}`,
  arm,
  seed: String(seed),
  state: 'SUCCEEDED',
  totalSteps: 100,
  fingerprint: 'native/fp32/x/y',
  curves: { train_loss: losses },
  ...more,
});

const arms = (offset: Readonly<Record<string, number>>) =>
  Object.entries(offset).flatMap(([arm, add]) =>
    [0.3, 0.5, 0.35, 0.62].map((loss, k) => measured(arm, k + 1, [2, loss + add * (1 + 0.1 * k)])),
  );

test('arms are summarised, compared with the baseline by seed, and corrected together', () => {
  const report = reportOf('s', arms({ late: 0.01, none: 0, early: -0.1 }), plain);
  const [loss] = report.metrics;
  assert.deepEqual(
    loss!.arms.map(({ arm, runs, mean }) => [arm, runs, Number(mean.toFixed(6))]),
    [
      ['none', 4, 0.4425],
      ['early', 4, 0.3275],
      ['late', 4, 0.454],
    ],
  );
  const [early, late] = loss!.comparisons;
  assert.deepEqual([early!.arm, early!.against, early!.pairs, Number(early!.difference.toFixed(6))], ['early', 'none', 4, -0.115]);
  assert.ok(early!.tInterval![1] < 0 && late!.tInterval![0] > 0);
  // Both differ in the same direction for all four seeds, which of 16 choices of signs two do.
  assert.deepEqual([early!.signFlip, early!.signFlipCorrected, late!.signFlip], [0.125, 0.25, 0.125]);
  assert.ok(early!.pairedTCorrected! >= early!.pairedT!);
  assert.deepEqual(loss!.curves[1]!.points[0], { epoch: 1, runs: 4, mean: 2, low: 2, high: 2 });
  assert.deepEqual(report.notes, ['With 4 pairs, the sign-flip test cannot give less than p = 0.125.']);
  assert.equal(JSON.stringify(reportOf('s', arms({ early: -0.1, none: 0, late: 0.01 }).reverse(), plain)), JSON.stringify(report));
});

test('without a baseline, each arm is compared with each before it', () => {
  const { metrics } = reportOf('s', arms({ none: 0, early: -0.1, late: 0.1 }), { ...plain, baseline: '' });
  assert.deepEqual(
    metrics[0]!.comparisons.map(({ arm, against }) => [arm, against]),
    [
      ['early', 'none'],
      ['late', 'none'],
      ['late', 'early'],
    ],
  );
});

test('only runs of the commonest fingerprint are compared, and the report says what is left out', () => {
  const other = { fingerprint: 'native/fp32/z/y' };
  const runs = [
    ...arms({ none: 0, early: -0.1 }),
    measured('none', 5, [2, 9], other),
    measured('early', 5, [2, 9], { fingerprint: '' }),
    measured('early', 6, [], { state: 'FAILED', fingerprint: '', curves: {} }),
  ];
  const report = reportOf('s', runs, plain);
  assert.equal(report.fingerprint, 'native/fp32/x/y');
  assert.deepEqual(
    report.metrics[0]!.arms.map(({ runs: n }) => n),
    [4, 4],
  );
  assert.deepEqual(
    report.runs.filter(({ compared }) => !compared).map(({ run }) => run),
    ['s-early-5', 's-early-6', 's-none-5'],
  );
  assert.match(report.notes.join(' '), /1 of 11 runs have not succeeded.*2 runs are left out, because their fingerprint/);
  const all = reportOf('s', runs, { ...plain, anyFingerprint: true });
  assert.equal(all.metrics[0]!.comparisons[0]!.pairs, 5);
  assert.match(all.notes.join(' '), /different fingerprints/);
});

test('different budgets, repeated seeds and an epoch that was not evaluated are said, or left out', () => {
  const runs = [
    measured('none', 1, [2, 1]),
    measured('early', 1, [2, 1], { totalSteps: 200, curves: { train_loss: [2, 1], top1: [40] } }),
    measured('early', 1, [2, 1.5], { run: 's-again' }),
  ];
  const { notes, metrics } = reportOf('s', runs, plain);
  assert.match(notes.join(' '), /different numbers of steps: 100, 200\..*A seed occurs more than once.*in: early\./);
  assert.deepEqual(
    metrics.map(({ metric }) => metric),
    ['train_loss'],
    'top-1 of the first epoch is not that of the last one',
  );
});

test('the note on few pairs counts pairs, not runs', () => {
  const runs = [1, 2, 3].map((seed) => measured('none', seed, [2, 1])).concat([3, 4, 5].map((seed) => measured('early', seed, [2, 1])));
  assert.deepEqual(reportOf('s', runs, plain).notes, ['With 1 pair, the sign-flip test cannot give less than p = 1.']);
  assert.deepEqual(reportOf('s', runs.slice(0, 3), plain).notes, [], 'one arm is compared with nothing');
});

test('with a file, the report names arms of the same study that the file does not have', () => {
  const named = /Arms that the file does not have, .*: early\.$/;
  const notesWith = (ofFile: Partial<ReportOptions>) =>
    reportOf('s', arms({ none: 0, early: -0.1 }), { baseline: 'none', anyFingerprint: false, ...ofFile }).notes;
  assert.ok(notesWith({ arms: ['none'] }).some((note) => named.test(note)));
  assert.ok(!notesWith({ arms: ['none', 'early'] }).some((note) => named.test(note)));
  assert.ok(!notesWith({}).some((note) => named.test(note)));
});

test('a fold over a log: what is done again replaces what was there', () => {
  const curves = new Curves(10);
  const epoch = (number: number, trainLoss: number) =>
    curves.take({ event: { $case: 'epoch', value: { epoch: number, trainLoss } } } as never);
  const resumed = (fingerprintChanged: boolean) => curves.take({ event: { $case: 'resumed', value: { fingerprintChanged } } } as never);
  const evaluated = (step: bigint, loss: number) =>
    curves.take({ event: { $case: 'evaluation', value: { step, result: { weights: { loss, top1: 50 } } } } } as never);
  epoch(0, 2);
  evaluated(10n, 1.9);
  evaluated(15n, 1.8);
  resumed(false);
  epoch(0, 2.5);
  epoch(1, 1);
  assert.equal(curves.fingerprintChanged, false);
  resumed(true);
  assert.equal(curves.fingerprintChanged, true);
  assert.deepEqual(curves.values, { train_loss: [2.5, 1], eval_loss: [1.9], top1: [50] });
  const cutoff = (step: bigint, error: number | undefined, endsAtStep = 0n) => {
    const value = { step, dropRate: 0.1, errorWithDrop: error, errorWithoutDrop: error && 0.2, endsAtStep };
    curves.take({ event: { $case: 'cutoffMeasured', value } } as never);
  };
  assert.deepEqual(curves.measurements, []);
  cutoff(10n, 0.1);
  cutoff(20n, undefined);
  cutoff(20n, 0.3, 30n);
  assert.deepEqual(curves.measurements, [
    { step: 10, rate: 0.1, errorWithDrop: 0.1, errorWithoutDrop: 0.2 },
    { step: 20, rate: 0.1, errorWithDrop: 0.3, errorWithoutDrop: 0.2, endsAtStep: 30 },
  ]);
});

test('the page has a line with a band for each arm, and the tables of the terminal', () => {
  const { runs, study } = studyPage(reportOf('s', [...arms({ none: 0, early: -0.1 }), measured('alone', 1, [2, 1])], plain), '');
  assert.deepEqual(runs, []);
  const [chart] = study!.charts;
  assert.deepEqual(
    chart!.lines.map(({ arm, points }) => [arm, points[0]!.length]),
    [
      ['none', 4],
      ['early', 4],
      ['alone', 2],
    ],
  );
  const [section] = study!.sections;
  assert.equal(section!.tables[0]!.columns[0]!.title, 'Arm');
  assert.ok(section!.tables[0]!.rows.some(([arm, number]) => arm === 'alone' && number === '1'));
  assert.equal(study!.sections.at(-1)!.title, 'Runs');
});
