/** Precision and memory of a run, from its spec to its losses. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import { connectTrainer, demandingSpec, follow, history, makeWorkspace, startData, startTrainer } from '../../test/support/training.js';

test('a run trains in bf16 as its spec says, close to fp32; blocks run again change no loss', { timeout: 120_000 }, async (t) => {
  const workspace = await makeWorkspace(t, { train: 256 });
  const service = await startTrainer(t, workspace, [await startData(t, workspace)]);
  const trainer = connectTrainer(service.address);
  const losses = async (runId: string, options: Parameters<typeof demandingSpec>[1]) => {
    const spec = demandingSpec(workspace, { epochs: 3, cutoffEpoch: 2, batchSize: 32, updateFreq: 2, ...options });
    const created = await trainer.createRun({ parent: 'projects/test', runId, spec }, { timeoutMs: 10_000 });
    return [...history(await follow(trainer, created.run!.name)).values()].map(({ loss }) => loss);
  };
  const half = await losses('half', { precision: Precision.BF16 });
  assert.equal(half.length, 12);
  assert.deepEqual(await losses('again', { precision: Precision.BF16, checkpointBlocks: true }), half);
  const whole = await losses('whole', {});
  assert.notDeepEqual(half, whole);
  for (const [step, loss] of whole.entries())
    assert.ok(Math.abs(half[step]! - loss) < 0.03, `step ${step}: ${half[step]}, in fp32 ${loss}`);
  trainer.close();
  assert.equal(await service.end('SIGTERM'), 0);
});
