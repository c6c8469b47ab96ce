import assert from 'node:assert/strict';
import { test } from 'node:test';
import { paceOf, top1ByRun } from './tail.js';

const checkpoint = (run: string, id: string) => `projects/p/runs/${run}/checkpoints/${id}`;

test('top-1 by run, in the order of steps; 0 is absent in JSON, and failures have none', () => {
  const byRun = top1ByRun([
    { spec: { checkpoint: checkpoint('a', 'c2') }, result: { step: '20', weights: { top1: 12.5 } } },
    { spec: { checkpoint: checkpoint('a', 'c1') }, result: { step: '10', weights: { loss: 7 } } },
    { spec: { checkpoint: checkpoint('b', 'c1') } },
  ]);
  assert.deepEqual([...byRun], [['projects/p/runs/a', [0, 12.5]]]);
});

test('the pace of a run is known after two looks, and begins anew when the run goes back', () => {
  const first = paceOf(undefined, 10, 0);
  assert.equal(first.secondsPerStep, undefined);
  const second = paceOf(first, 20, 5000);
  assert.equal(second.secondsPerStep, 0.5);
  assert.equal(paceOf(second, 20, 9000), second);
  assert.equal(paceOf(second, 15, 9000).secondsPerStep, undefined);
});
