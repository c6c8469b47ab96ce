import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixtureJson, withoutFixtures } from '../../test/support/fixtures.js';
import { countTopK, labelRank } from './metrics.js';

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

test('the first of the greatest logits has rank 0, and NaN is never right', () => {
  const logits = [1, 3, 3, 2, Number.NaN, 1, 1, 1];
  assert.equal(labelRank(logits, 0, 4, 1), 0);
  assert.equal(labelRank([Number.NaN, Number.NaN], 0, 2, 0), 1);
  assert.equal(labelRank(logits, 1, 4, 1), 1);
});
