import assert from 'node:assert/strict';
import { test } from 'node:test';
import { draftLine, draftOf, draftText, firstDraft, problemOf, rateAt, specOfDraft } from './draft.js';

test('a draft and its spec are the same schedule', () => {
  assert.deepEqual(draftOf(specOfDraft(firstDraft)), firstDraft);
  assert.deepEqual(draftOf({}), { kind: 'dropout', rate: 0, mode: 'standard', schedule: 'constant', cutoffEpoch: 0 });
});

test('what cannot be is said, and gives no curve and no rate', () => {
  const late = { ...firstDraft, mode: 'late', schedule: 'linear' } as const;
  assert.match(problemOf(late, 100), /constant/);
  assert.deepEqual(draftLine(late, 100, '', 0), []);
  assert.equal(rateAt(late, 0, { epochs: 100, stepsPerEpoch: 10 }), undefined);
  assert.match(problemOf({ ...firstDraft, rate: 1 }, 100), /below 1/);
  assert.match(problemOf(firstDraft, 20), /20 epochs/);
});

test('curves and words', () => {
  const [line] = draftLine(firstDraft, 100, 'x', 0);
  assert.deepEqual([line!.x[0], line!.x.at(-1), line!.y[0], line!.y.at(-1)], [0, 100, 0.1, 0]);
  assert.ok(line!.x.every((x, k) => k === 0 || x > line!.x[k - 1]!));
  assert.equal(draftText(firstDraft), 'dropout from 0.1 to 0 at epoch 50');
  assert.equal(
    draftText({ ...firstDraft, mode: 'late', schedule: 'constant', kind: 'drop_path' }),
    'stochastic depth 0.1 from epoch 50 on',
  );
  assert.equal(rateAt({ ...firstDraft, mode: 'standard' }, 10_000, { epochs: 100, stepsPerEpoch: 10 }), 0.1);
});
