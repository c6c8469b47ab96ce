/** A GPU that fails in the middle of a run costs the steps since the last checkpoint and nothing else; without a GPU, a run is not claimed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { deviceCode } from '#engine/webgpu/start-device.js';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { startService } from '../../test/support/processes.js';
import { follow, lossesOf, type Trainer, TrainingServices } from '../../test/support/training-services.js';

const skip = withoutExecutor('webgpu');
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
const deviceUrl = deviceCode.url;

let services: TrainingServices;
let data: string;
let undisturbed: number[];

before(async () => {
  if (skip) return;
  services = await TrainingServices.open();
  data = await services.data();
  const { client, service } = await services.trainer(['--data', data]);
  undisturbed = lossesOf(await train(client, 'undisturbed'));
  await service.close();
});
after(() => services?.close());

/** Trains to the end: 12 steps, with a checkpoint after 6. */
async function train(client: Trainer, runId: string) {
  const spec = services.spec({ engine: Engine.WEBGPU, model: 'mixer_nano_p7', saveCkptFreq: 1 });
  const { run } = await client.createRun({ parent, runId, spec }, soon);
  const events = await follow(client, run!.name, undefined, 240_000);
  const ended = (await client.getRun({ name: run!.name }, soon)).run!;
  assert.deepEqual([ended.state, ended.failure], [RunState.SUCCEEDED, '']);
  return events;
}

const lost = /^DeviceFailed: the GPU .* was lost \(destroyed\)/;
const faults: readonly [what: string, fault: string, reason: RegExp, resumesFrom: bigint][] = [
  ['is lost in the first epoch', 'lost submit 20', lost, 0n],
  ['is lost while the first checkpoint is read', 'lost read 2', lost, 0n],
  ['is lost while the second checkpoint is read', 'lost read 5', lost, 6n],
  ['loses its thread in the second epoch', 'ended submit 55', /^DeviceFailed: the thread of the GPU has ended/, 6n],
];

for (const [what, fault, reason, resumesFrom] of faults) {
  test(`a run whose device ${what} goes back to the queue and has the undisturbed losses`, { skip, timeout: 300_000 }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'gpu-faults-'));
    writeFileSync(join(folder, 'once'), '');
    deviceCode.url = new URL('../../test/support/webgpu-faulty-worker.js', import.meta.url);
    process.env.WEBGPU_FAULT = `${fault} ${join(folder, 'once')}`;
    const { client, service } = await services.trainer(['--data', data]);
    t.after(async () => {
      deviceCode.url = deviceUrl;
      delete process.env.WEBGPU_FAULT;
      rmSync(folder, { recursive: true });
      await service.close();
    });
    const events = await train(client, fault.replaceAll(' ', '-'));
    const reasons = events.flatMap(({ event }) =>
      event?.$case === 'state' && event.value.state === RunState.QUEUED ? [event.value.reason] : [],
    );
    assert.equal(reasons.filter((one) => reason.test(one)).length, 1, reasons.join('\n'));
    const resumed = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value.fromStep] : []));
    assert.deepEqual(resumed, [resumesFrom]);
    assert.deepEqual(lossesOf(events), undisturbed);
    assert.ok(events.every(({ event }) => event?.$case !== 'checkpointSkipped'));
  });
}

test('a worker without the GPU leaves the run to one that has it, and says what is missing', { skip, timeout: 240_000 }, async (t) => {
  const { client } = await services.trainer(['--role', 'api']);
  const worker = (gpu: string) =>
    startService(t, 'trainer', ['--role', 'worker', '--store', services.storeUri, '--data', data, '--poll-ms', '50'], {
      DROPSTREAM_GPU: gpu,
    });
  const without = await worker('abacus');
  const spec = services.spec({ engine: Engine.WEBGPU, model: 'mixer_nano_p7', epochs: 1 });
  const { run } = await client.createRun({ parent, runId: 'needs-a-gpu', spec }, soon);
  for (let tries = 0; !without.log().includes('waits for a worker that has its engine') && tries < 600; tries++) await delay(50);
  assert.match(without.log(), /executor webgpu is not available: DROPSTREAM_GPU is \\"abacus\\"/);
  const metrics = await (await fetch(`${without.admin}/metrics`)).text();
  assert.match(metrics, /^dropstream_trainer_runs_without_engine_total 1$/m);
  const { state, attempt } = (await client.getRun({ name: run!.name }, soon)).run!;
  assert.deepEqual([state, attempt], [RunState.QUEUED, 0]);
  await worker(process.env.DROPSTREAM_GPU ?? 'llvmpipe');
  await follow(client, run!.name, undefined, 120_000);
  const ended = (await client.getRun({ name: run!.name }, soon)).run!;
  assert.deepEqual([ended.state, ended.attempt], [RunState.SUCCEEDED, 1]);
});
