import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Run } from '#protocol/dropstream/v1/trainer.js';
import { silentLogger } from '#telemetry/logger.js';
import { WorkersHere } from './workers-here.js';

const viewOf = (workers: { min: number; max: number } | undefined) => ({
  run: Run.fromPartial({ name: 'projects/p/runs/r', uid: 'u', spec: { workers } }),
});

test('a run that needs several workers is left to workers that can exchange gradients', () => {
  const without = new WorkersHere(silentLogger(), () => ({ available: false, reason: 'no Gloo' }));
  assert.equal(without.allow(viewOf({ min: 2, max: 4 })), false);
  assert.equal(without.allow(viewOf({ min: 2, max: 0 })), false);
  assert.equal(without.allow(viewOf({ min: 1, max: 4 })), true);
  assert.equal(without.allow(viewOf({ min: 0, max: 0 })), true);
  assert.equal(without.allow(viewOf(undefined)), true);
  const having = new WorkersHere(silentLogger(), () => ({ available: true, version: '1' }));
  assert.equal(having.allow(viewOf({ min: 2, max: 4 })), true);
});
