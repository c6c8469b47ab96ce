/** Tuning between two attempts changes nothing for a run that has a checkpoint: it keeps its tiles, and with them its bits. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { adapterHere } from '#engine/webgpu/adapters.js';
import type { Tiles } from '#engine/webgpu/kernels/tile-shapes.js';
import { tuningKey } from '#engine/webgpu/tuning/tiles-here.js';
import { storeTuned } from '#engine/webgpu/tuning/tuned-file.js';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { follow, lossesOf, TrainingServices } from '../../test/support/training-services.js';

const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
const first: Tiles = { 'linear.fp32': '128x64x16@128' };
const second: Tiles = { 'linear.fp32': '32x32x16@64', 'linear_input_grad.fp32': '64x64x16@256' };

test('an exact run keeps its tiles when its GPU is tuned meanwhile, and a new run has the new ones', {
  skip: withoutExecutor('webgpu'),
  timeout: 300_000,
}, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tuned-run-'));
  const before = process.env.DROPSTREAM_GPU_TUNING;
  const services = await TrainingServices.open();
  t.after(async () => {
    process.env.DROPSTREAM_GPU_TUNING = before;
    await services.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'gpu-tuning.json');
  process.env.DROPSTREAM_GPU_TUNING = file;
  const key = tuningKey(await adapterHere());
  const data = await services.data();
  const { client } = await services.trainer(['--role', 'api']);
  const spec = services.spec({ engine: Engine.WEBGPU, saveCkptFreq: 1, epochs: 4, exact: true });
  const create = async (runId: string) => (await client.createRun({ parent, runId, spec }, soon)).run!.name;
  const fingerprintOf = async (name: string) => {
    const { run } = await client.getRun({ name }, soon);
    return (await client.getCheckpoint({ name: run!.latestCheckpoint, urlExpirySeconds: 0 }, soon)).checkpoint!.fingerprint;
  };

  await storeTuned(file, key, first);
  const worker = await services.trainer(['--role', 'worker', '--data', data]);
  const calm = lossesOf(await follow(client, await create('calm'), undefined, 120_000));
  const name = await create('tuned-meanwhile');
  await follow(client, name, ({ event }) => event?.$case === 'checkpoint', 120_000);
  await worker.service.close();
  const begun = await fingerprintOf(name);
  assert.match(begun, / linear\.fp32=128x64x16@128 [\da-f]{16}$/);
  assert.equal((await client.getRun({ name }, soon)).run!.state, RunState.QUEUED);

  await storeTuned(file, key, second);
  await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(client, name, undefined, 120_000);
  const resumed = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value.fingerprintChanged] : []));
  assert.deepEqual(resumed, [false]);
  assert.equal(await fingerprintOf(name), begun);
  assert.deepEqual(lossesOf(events), calm);

  const other = await create('later');
  await follow(client, other, undefined, 120_000);
  assert.match(await fingerprintOf(other), / linear\.fp32=32x32x16@64 linear_input_grad\.fp32=64x64x16@256 [\da-f]{16}$/);
});
