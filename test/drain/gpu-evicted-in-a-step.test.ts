/** As evicted-in-a-step.test.ts, on a GPU: SIGTERM in the middle of a step, and another process goes on from that very step with the same bits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { withoutExecutor } from '../support/executors.js';
import { demandingSpec, makeWorkspace } from '../support/training.js';
import { evictedRun } from './evicted-run.js';

test('webgpu: a step that SIGTERM interrupts is cancelled, and done once in the end', {
  skip: withoutExecutor('webgpu'),
  timeout: 400_000,
}, async (t) => {
  const [batchSize, updateFreq] = [16, 16];
  const workspace = await makeWorkspace(t, { train: batchSize * updateFreq });
  const length = { epochs: 3, cutoffEpoch: 2, saveCkptSeconds: 0, saveCkptFreq: 3 };
  const spec = demandingSpec(workspace, { engine: Engine.WEBGPU, exact: true, batchSize, updateFreq, ...length });
  const run = await evictedRun(t, workspace, spec, { after: [0], argv: ['--stop-step-ms', '0'], limitMs: 300_000 });
  t.diagnostic(JSON.stringify(run));
  assert.deepEqual(run.wrong, []);
  assert.ok(run.evictions[0]?.cancelled, JSON.stringify(run));
});
