import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StepMeans } from './step-means.js';

test('few steps are kept one by one, and a step that has no number is a gap', () => {
  const means = new StepMeans();
  for (const [step, value] of [1, 2, Number.NaN, 4].entries()) means.push(step, value);
  assert.deepEqual(means.values, [1, 2, undefined, 4]);
});

test('many steps are means, and their number is bounded', () => {
  const means = new StepMeans();
  for (let step = 0; step < 100_000; step++) means.push(step, step);
  const { values } = means;
  assert.ok(values.length <= 1024 && values.length > 400, String(values.length));
  const width = 128;
  assert.equal(values.length, Math.ceil(100_000 / width));
  assert.equal(values[3], 3 * width + (width - 1) / 2);
});

test('a resume forgets the steps that are done again', () => {
  const means = new StepMeans();
  for (let step = 0; step < 10; step++) means.push(step, 1);
  means.truncate(4);
  means.push(4, 3);
  assert.deepEqual(means.values, [1, 1, 1, 1, 3]);
});
