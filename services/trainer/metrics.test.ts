import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { createTrainerMetrics } from './metrics.js';

const seriesOf = async (registry: Registry): Promise<string[]> =>
  (await registry.metrics()).split('\n').filter((line) => line.startsWith('dropstream_run_engine_bytes{'));

test('an attempt that ends late removes the series of its run only if no later attempt has them', async () => {
  const registry = new Registry();
  const metrics = createTrainerMetrics(registry);
  const set = (run: string, bytes: number): void => metrics.engineBytes.set({ project: 'p', run }, bytes);
  // A run that was deleted and created again, a run that this process claimed again, and another run beside them.
  for (const run of ['recreated', 'claimed-again', 'other']) {
    const stale = metrics.enter('p', run);
    set(run, 1);
    const newer = metrics.enter('p', run);
    set(run, 2);
    await stale();
    assert.deepEqual(await seriesOf(registry), [`dropstream_run_engine_bytes{project="p",run="${run}"} 2`]);
    await stale();
    assert.equal((await seriesOf(registry)).length, 1);
    await newer();
    assert.deepEqual(await seriesOf(registry), []);
  }
});
