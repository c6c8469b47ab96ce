/**
 * Workers, as processes, get SIGTERM in the middle of a long step: they cancel it, save and give the run back, and the next one goes on from that very
 * step. On every engine that this machine has, no step is lost or done twice, and none has another bit than in the undisturbed run.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { demandingSpec, makeWorkspace } from '../support/training.js';
import { evictedRun } from './evicted-run.js';

/** Steps that accumulate many micro-batches, and after which of them workers are evicted. */
const engines: Record<string, { own: Partial<RunSpec>; after: number[] }> = {
  native: { own: { engine: Engine.NATIVE, model: 'vit_tiny', inputSize: 32, batchSize: 32, updateFreq: 12 }, after: [0, 1] },
  tfjs: { own: { engine: Engine.TFJS, model: 'vit_nano_p7', inputSize: 28, batchSize: 4, updateFreq: 4 }, after: [0] },
};

for (const [name, { own, after }] of Object.entries(engines)) {
  test(`${name}: steps that SIGTERM interrupts are cancelled, and done once in the end`, { timeout: 300_000 }, async (t) => {
    const workspace = await makeWorkspace(t, { train: own.batchSize! * own.updateFreq! });
    const spec = demandingSpec(workspace, { epochs: 3, saveCkptSeconds: 0, saveCkptFreq: 3, cutoffEpoch: 2, ...own });
    const run = await evictedRun(t, workspace, spec, { after, argv: ['--stop-step-ms', '0'], limitMs: 240_000 });
    t.diagnostic(JSON.stringify(run));
    assert.deepEqual(run.wrong, []);
    // Where an attempt waits for data instead, there is no step to cancel; not so every time.
    assert.ok(
      run.evictions.some(({ cancelled }) => cancelled),
      JSON.stringify(run),
    );
  });
}
