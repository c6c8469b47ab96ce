import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addScores, paceOf, type Score, top1Of } from './tail.js';

const run = {
  name: 'projects/p/runs/a',
  createTime: '2026-11-30T10:00:00Z',
  spec: { evalManifest: 'e'.repeat(64) },
};
const evaluation = (id: string, step: string, top1?: number, changed: object = {}) => ({
  spec: { checkpoint: `projects/p/runs/${id}/checkpoints/c${step}`, manifest: run.spec.evalManifest, ...changed },
  createTime: '2026-11-30T10:00:00.5Z',
  result: { step, weights: { loss: 7, ...(top1 !== undefined && { top1 }) } },
});

test('the top-1 of a run is that of its own evaluations, in the order of steps; 0 is absent in JSON', () => {
  const byRun = new Map<string, Score[]>();
  addScores(byRun, [evaluation('a', '20', 12.5)]);
  addScores(byRun, [
    evaluation('a', '10'),
    evaluation('b', '5', 99),
    evaluation('a', '30', 99, { manifest: 'f'.repeat(64) }),
    evaluation('a', '31', 99, { gradientStatistics: {} }),
    { ...evaluation('a', '32', 99), createTime: '2026-11-30T09:59:59Z' },
    { spec: { checkpoint: 'projects/p/runs/a/checkpoints/c33' } },
  ]);
  assert.deepEqual(top1Of(run, byRun.get(run.name) ?? []), [0, 12.5]);
});

test('the pace of a run is known after two looks, and begins anew when the run goes back', () => {
  const first = paceOf(undefined, 10, 0);
  assert.equal(first.secondsPerStep, undefined);
  const second = paceOf(first, 20, 5000);
  assert.equal(second.secondsPerStep, 0.5);
  assert.equal(paceOf(second, 20, 9000), second);
  assert.equal(paceOf(second, 15, 9000).secondsPerStep, undefined);
});
