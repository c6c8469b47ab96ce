/** What docs/deploying.md says about copying a store while a run trains, and going on from the copy. */
import assert from 'node:assert/strict';
import { constants, copyFile, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { type RunEvent, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { demoSpec } from '../../services/cli/demo/demo-spec.js';
import { startAll } from '../../services/cli/up/start-all.js';
import { startLocalServices } from '../support/local-services.js';
import { runCommandLine } from '../support/run-command-line.js';
import { follow, lossesOf } from '../support/training-services.js';

const name = 'projects/default/runs/kept';

test('a store that is copied while a run trains is whole, and the run goes on from the copy with the same losses', {
  timeout: 240_000,
}, async (t) => {
  const local = await startLocalServices({ perClass: 140 });
  t.after(() => local.stop());
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-backup-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [original, copy] = [join(local.folder, 'store'), join(folder, 'store')];

  const spec = demoSpec({ epochs: 16, samples: 1200, trainManifest: local.train.sha256, evalManifest: '', holdoutStride: 0 });
  const trainer = connect(TrainerServiceClient, local.of('trainer').address);
  t.after(() => trainer.close());
  // The run goes on meanwhile, and makes and deletes checkpoints.
  await trainer.createRun({ parent: 'projects/default', runId: 'kept', spec: { ...spec, saveCkptNum: 2 } }, { timeoutMs: 20_000 });
  await follow(trainer, name, checkpointNumber(4), 120_000);
  await copyNew(original, copy, (key) => !isLog(key));
  await copyNew(original, copy, isLog);
  await copyNew(original, copy, (key) => !isLog(key));
  const undisturbed = await follow(trainer, name, undefined, 120_000);
  assert.equal(lastState(undisturbed), 'SUCCEEDED');
  await local.services.stop();

  const check = await runCommandLine(['store', 'check', '--store', copy, '--deep'], { cwd: folder });
  assert.equal(check.code, 0, check.out + check.err);
  const dataRoots = [join(local.folder, 'data')];
  const services = await startAll({ home: join(folder, 'home'), store: copy, dataRoots, cwd: folder, env: process.env });
  t.after(() => services.stop());
  const restored = connect(TrainerServiceClient, services.state.services.find(({ service }) => service === 'trainer')!.address);
  t.after(() => restored.close());
  const again = await follow(restored, name, undefined, 120_000);
  assert.equal(lastState(again), 'SUCCEEDED');
  const begins = again.flatMap(({ event }) => (event?.$case === 'resumed' ? [Number(event.value.fromStep)] : []));
  assert.ok(begins.length > 0 && begins.at(-1)! > 0, `began at ${begins}: goes on from a checkpoint of the copy`);
  assert.deepEqual(lossesOf(again), lossesOf(undisturbed));
});

const lastState = (events: readonly RunEvent[]): string | undefined =>
  events.flatMap(({ event }) => (event?.$case === 'state' ? [RunState[event.value.state]] : [])).at(-1);

function checkpointNumber(wanted: number): (event: RunEvent) => boolean {
  let seen = 0;
  return ({ event }) => event?.$case === 'checkpoint' && ++seen === wanted;
}

const isLog = (key: string): boolean => /\/log\/[^/]+$/.test(key);

/** Copies what is not there yet; objects that are being written or deleted meanwhile are left out. */
async function copyNew(from: string, to: string, wanted: (key: string) => boolean): Promise<void> {
  for (const entry of await readdir(from, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const key = path.slice(from.length);
    if (!entry.isFile() || !wanted(key) || /\/heartbeats\//.test(key)) continue;
    await mkdir(dirname(to + key), { recursive: true });
    await copyFile(path, to + key, constants.COPYFILE_EXCL).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST' && error.code !== 'ENOENT') throw error;
    });
  }
}
