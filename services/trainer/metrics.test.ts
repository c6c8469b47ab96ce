import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { createTrainerMetrics } from './metrics.js';

test('only steps on a GPU are counted as its steps, and the series of a run there go with the run', async () => {
  const registry = new Registry();
  const metrics = createTrainerMetrics(registry);
  const step = StepMetrics.fromPartial({ step: 3n, stepSeconds: 2 });
  const labels = { project: 'p', run: 'r' };
  const leave = metrics.enter('p', 'r');
  metrics.observeStep(labels, step, 8);
  assert.doesNotMatch(await registry.metrics(), /gpu_bytes\{|gpu_info\{|gpu_step_seconds_count 1/);
  for (const adapter of ['one', 'another']) metrics.useGpu({ adapter, driver: 'd 1', runtime: 'webgpu 0' });
  metrics.observeStep(labels, step, 8, { seconds: 1.5, bytes: 77 });
  const page = await registry.metrics();
  assert.match(page, /^dropstream_trainer_gpu_step_seconds_sum 1\.5$/m);
  assert.match(page, /^dropstream_trainer_step_seconds_count 2$/m);
  assert.match(page, /^dropstream_run_gpu_bytes\{project="p",run="r"\} 77$/m);
  assert.deepEqual(page.match(/^dropstream_trainer_gpu_info.*$/gm), [
    'dropstream_trainer_gpu_info{adapter="another",driver="d 1",runtime="webgpu 0"} 1',
  ]);
  await leave();
  assert.doesNotMatch(await registry.metrics(), /gpu_bytes\{/);
});

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

test('500 runs that come and go have as many series at any time as one has, and none at the end', async () => {
  const registry = new Registry();
  const metrics = createTrainerMetrics(registry);
  const lines = async (): Promise<string[]> =>
    (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const step = StepMetrics.fromPartial({ step: 3n, stepSeconds: 2 });
  const none = (await lines()).length;
  const sizes = new Set<number>();
  for (let k = 0; k < 500; k++) {
    const labels = { project: `p${k % 50}`, run: `r${k}` };
    const leave = metrics.enter(labels.project, labels.run);
    metrics.begin(labels, 300);
    metrics.observeStep(labels, step, 8, { seconds: 1, bytes: 7 });
    metrics.observeCheckpoint(labels, 1);
    for (const gauge of [metrics.engineBytes, metrics.top1]) gauge.set(labels, 1);
    if (k % 50 === 0) sizes.add((await lines()).length);
    await leave();
  }
  assert.equal(sizes.size, 1, [...sizes].join());
  assert.ok([...sizes][0]! > none);
  assert.equal((await lines()).length, none);
});
