// A checkpoint that cannot be loaded: the attempt goes back to the one before it, and the run's log says so.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Run, type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { readManifest } from '#storage/checkpoint.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { checkpointsOf, manifestKeyOf } from '#work/checkpoint-keys.js';
import { follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { emptyRecord, logLines, takeRecord } from '../cli/log-files/run-record.js';

let services: TrainingServices;
let data: string;
let trainer: Trainer;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  data = await services.data();
  trainer = (await services.trainer(['--role', 'api'])).client;
});
after(() => services.close());

const flip = async (store: ObjectStore, key: string): Promise<void> => {
  const { bytes } = await store.get(key);
  bytes[bytes.length >> 1]! ^= 1;
  await store.put(key, bytes);
};

/** A run that was paused when it had several checkpoints. */
async function pausedRun(runId: string): Promise<Run> {
  // Long enough that the pause comes before the end.
  const spec = services.spec({ epochs: 40, saveCkptFreq: 1, saveCkptNum: 3 });
  const name = (await trainer.createRun({ parent, runId, spec }, soon)).run!.name;
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  const done = (await follow(trainer, name, ({ event }) => event?.$case === 'checkpoint' && event.value.step >= 18n)).length;
  await trainer.pauseRun({ name }, soon);
  await follow(trainer, name, ({ event }) => event?.$case === 'state' && event.value.state === RunState.PAUSED);
  await service.close();
  assert.ok(done > 0);
  return (await trainer.getRun({ name }, soon)).run!;
}

/** What can happen to a checkpoint. */
const damages: Record<string, (store: ObjectStore, manifestKey: string, partKey: string) => Promise<unknown>> = {
  'a changed part': (store, _, part) => flip(store, part),
  'a part that is gone': (store, _, part) => store.delete(part),
  'a part that is cut off': async (store, _, part) => store.put(part, (await store.get(part)).bytes.subarray(0, 100)),
  'an empty part': (store, _, part) => store.put(part, Buffer.alloc(0)),
  'a changed manifest': (store, manifest) => flip(store, manifest),
  'an empty manifest': (store, manifest) => store.put(manifest, Buffer.alloc(0)),
  'a manifest of another shape': (store, manifest) => store.put(manifest, Buffer.from('{"seq":1,"parts":[],"__proto__":{"x":1}}')),
  'a manifest that is gone': (store, manifest) => store.delete(manifest),
};

describe('the log of a run whose newest checkpoint has', () => {
  for (const [number, [what, damage]] of Object.entries(damages).entries()) {
    test(what, async () => {
      const { store } = services;
      const paused = await pausedRun(`r${number}`);
      const newest = manifestKeyOf(paused.latestCheckpoint, paused.uid);
      const { manifest } = await readManifest(store, newest);
      await damage(store, newest, manifest.parts[0]!.key);
      await trainer.resumeRun({ name: paused.name }, soon);
      const second = await services.trainer(['--role', 'worker', '--data', data]);
      const events = await follow(trainer, paused.name);
      await second.service.close();
      assert.equal((await trainer.getRun({ name: paused.name }, soon)).run!.state, RunState.SUCCEEDED);
      const skipped = events.flatMap(({ event }) => (event?.$case === 'checkpointSkipped' ? [event.value] : []));
      assert.deepEqual(
        skipped.map(({ checkpoint }) => checkpoint),
        [paused.latestCheckpoint],
      );
      assert.match(skipped[0]!.reason, /damaged|does not exist/);
      const resumed = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value] : [])).at(-1)!;
      // A pause just after an epoch saves its step a second time.
      assert.ok(resumed.fromStep <= BigInt(manifest.step) && resumed.fromStep > 0n);
      assertInLogFile(events, paused.latestCheckpoint, Number(resumed.fromStep / paused.stepsPerEpoch));
    });
  }
});

test('a run of which every checkpoint is damaged fails and names the newest: it never begins again by itself', async () => {
  const { store } = services;
  const paused = await pausedRun('all');
  const folder = checkpointsOf(paused.name, paused.uid);
  for await (const { key } of listAll(store, `${folder}/`)) if (key.endsWith('.safetensors')) await flip(store, key);
  await trainer.resumeRun({ name: paused.name }, soon);
  const { service } = await services.trainer(['--role', 'worker', '--data', data]);
  const events = await follow(trainer, paused.name);
  await service.close();
  const { state, failure } = (await trainer.getRun({ name: paused.name }, soon)).run!;
  assert.equal(state, RunState.FAILED);
  assert.match(failure, new RegExp(`all \\d+ checkpoints of the run are damaged or missing; the newest is ${paused.latestCheckpoint}`));
  const skipped = events.flatMap(({ event }) => (event?.$case === 'checkpointSkipped' ? [event.value.checkpoint] : []));
  assert.ok(new Set(skipped).size >= 3 && skipped.includes(paused.latestCheckpoint), JSON.stringify(skipped));
});

function assertInLogFile(events: readonly RunEvent[], checkpoint: string, epoch: number): void {
  const record = emptyRecord();
  for (const event of events) takeRecord(record, event);
  const lines = logLines(record).map((line) => JSON.parse(line) as { epoch: number; skipped_checkpoints?: string[] });
  const told = lines.filter((line) => line.skipped_checkpoints !== undefined);
  assert.deepEqual(
    told.map((line) => line.epoch),
    [epoch],
  );
  assert.ok(told[0]!.skipped_checkpoints![0]!.startsWith(`${checkpoint}: `));
}
