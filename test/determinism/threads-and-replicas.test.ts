/** The number of threads and of data replicas changes how long a run takes and no bit of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectTrainer, demandingSpec, follow, history, makeWorkspace, startData, startTrainer } from '../support/training.js';

test('1 and 2 threads, 1 and 3 data replicas: equal losses, gradient norms and batches', { timeout: 300_000 }, async (t) => {
  const workspace = await makeWorkspace(t, { train: 512 });
  const spec = demandingSpec(workspace, { epochs: 3, cutoffEpoch: 2, batchSize: 32, updateFreq: 2 });
  const replicas = await Promise.all([startData(t, workspace), startData(t, workspace), startData(t, workspace)]);

  const run = async (runId: string, data: number, threads: number) => {
    const service = await startTrainer(t, workspace, replicas.slice(0, data), [], { DROPSTREAM_THREADS: `${threads}` });
    const trainer = connectTrainer(service.address);
    const created = await trainer.createRun({ parent: 'projects/test', runId, spec }, { timeoutMs: 10_000 });
    const steps = history(await follow(trainer, created.run!.name));
    trainer.close();
    assert.equal(await service.end('SIGTERM'), 0);
    return [...steps.values()].map(({ step, loss, gradNorm, batchSha256 }) => ({
      step,
      loss,
      gradNorm,
      batchSha256: batchSha256.map((hash) => hash.toString('hex')),
    }));
  };

  const alone = await run('one-one', 1, 1);
  assert.equal(alone.length, 24);
  assert.deepEqual(await run('two-three', 3, 2), alone);
  assert.deepEqual(await run('one-three', 3, 1), alone);
});
