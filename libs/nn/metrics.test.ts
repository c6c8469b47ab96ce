import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixtureJson, withoutFixtures } from '../../test/support/fixtures.js';
import { countTopK, labelRank, predictedClass } from './metrics.js';
import { buildTargets } from './targets.js';

interface LossFile {
  classes: number;
  logits: number[][];
  labels: number[];
  metrics: { rank_of_label: number[]; acc1: number; acc5: number };
  ties: { logits: number[][]; labels: number[]; rank_by_the_rule: number[] };
}

test('ranks, top-1 and top-5 of the fixtures, ties by the rule', { skip: withoutFixtures }, () => {
  const { classes, logits, labels, metrics, ties } = fixtureJson<LossFile>('loss.json');
  const ranks = (rows: number[][], wanted: number[]) => wanted.map((label, i) => labelRank(rows.flat(), i, classes, label));
  assert.deepEqual(ranks(logits, labels), metrics.rank_of_label);
  assert.deepEqual(ranks(ties.logits, ties.labels), ties.rank_by_the_rule);
  const percent = (k: number) => (100 * countTopK(logits.flat(), labels, classes, k)) / labels.length;
  assert.equal(percent(1), metrics.acc1);
  assert.equal(percent(5), metrics.acc5);
});

test('the predicted class is the one of rank 0, and NaN is never right', () => {
  const logits = [1, 3, 3, 2, Number.NaN, 1, 1, 1];
  assert.equal(predictedClass(logits, 0, 4), 1);
  assert.equal(labelRank(logits, 0, 4, 1), 0);
  assert.equal(labelRank([Number.NaN, Number.NaN], 0, 2, 0), 1);
  assert.equal(labelRank(logits, 1, 4, 1), 1);
});

test('targets: smoothing and mixing sum to 1; partners of one class are one peak', () => {
  const close = (a: ArrayLike<number>, b: number[]) =>
    b.every((value, i) => Math.abs((a[i] as number) - value) < 1e-7) && a.length === b.length;
  assert.ok(close(buildTargets([1], { classes: 3, smoothing: 0 }), [0, 1, 0]));
  assert.ok(close(buildTargets([1], { classes: 4, smoothing: 0.2 }), [0.05, 0.85, 0.05, 0.05]));
  const mixed = buildTargets([0, 2], { classes: 4, smoothing: 0.2 }, { lambdas: [0.75, 0.5], partnerLabels: [2, 2] });
  assert.ok(close(mixed, [0.65, 0.05, 0.25, 0.05, 0.05, 0.05, 0.85, 0.05]));
  assert.throws(() => buildTargets([4], { classes: 4, smoothing: 0 }), /label 4/);
  assert.throws(() => buildTargets([0], { classes: 4, smoothing: 0 }, { lambdas: [0.5], partnerLabels: [-1] }), /label -1/);
});
