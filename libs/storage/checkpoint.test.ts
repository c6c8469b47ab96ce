import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import {
  type CheckpointSnapshot,
  listCheckpoints,
  loadCheckpoint,
  loadLatestValid,
  presignCheckpoint,
  readManifest,
  saveCheckpoint,
} from './checkpoint.js';
import { CheckpointDamaged } from './checkpoint-manifest.js';
import { deleteCheckpoints } from './checkpoint-retention.js';
import { ObjectNotFound, type ObjectStore, StoreUnavailable } from './object-store.js';
import type { Tensor } from './tensor.js';

const PREFIX = 'projects/p/runs/r/checkpoints';
const tensor = (name: string, elements: number, value: number): Tensor => ({
  name,
  dtype: 'F32',
  shape: [elements],
  data: new Float32Array(elements).fill(value),
});
const snapshot = (step: number): CheckpointSnapshot => ({
  step,
  epoch: 2,
  logSequence: 40 + step,
  fingerprint: 'native fp32 avx2 0.1.0',
  epochAccumulators: { lossSum: 1.1 + step, samples: 128 },
  best: { step: 3, top1: 0.5 },
  metadata: { model: 'vit' },
  weights: [tensor('blocks.0.w', 100, step), tensor('blocks.0.b', 7, -step), tensor('head.w', 50, 0.1 + step)],
  ema: [tensor('blocks.0.w', 100, step / 2)],
  optimizer: [{ name: 'step', dtype: 'I64', shape: [], data: BigInt64Array.of(BigInt(step)) }],
});
/** Damages one byte in the middle of an object. */
const flip = async (store: ObjectStore, key: string) => {
  const { bytes } = await store.get(key);
  bytes[bytes.length >> 1]! ^= 1;
  await store.put(key, bytes);
};

test('a checkpoint is loaded as it was saved, to the bit, in whole or by group', async () => {
  const { store } = await freshDirectoryStore();
  const given = snapshot(5);
  const saved = await saveCheckpoint(store, PREFIX, given);
  assert.match(saved.manifestKey, /^projects\/p\/runs\/r\/checkpoints\/000000000005-[0-9a-f]{8}\/manifest\.json$/);
  const loaded = await loadCheckpoint(store, saved.manifestKey);
  const { weights, ema, optimizer, ...state } = given;
  assert.deepEqual(loaded.tensors, { weights, ema, optimizer });
  const { parts, formatVersion, ...loadedState } = loaded.manifest;
  assert.deepEqual(loadedState, state);
  assert.equal(formatVersion, 1);
  assert.equal(loaded.manifestSha256, saved.manifestSha256);
  assert.equal(parts.length, 3);
  const only = await loadCheckpoint(store, saved.manifestKey, { groups: ['ema'] });
  assert.deepEqual(Object.keys(only.tensors), ['ema']);
});

test('parts split under their limit and join in order; a tensor larger than a part is refused', async () => {
  const { store } = await freshDirectoryStore();
  const saved = await saveCheckpoint(store, PREFIX, snapshot(1), { maxPartBytes: 430 });
  const weights = saved.manifest.parts.filter(({ group }) => group === 'weights');
  assert.deepEqual(
    weights.map(({ tensors }) => tensors),
    [['blocks.0.w', 'blocks.0.b'], ['head.w']],
  );
  assert.deepEqual((await loadCheckpoint(store, saved.manifestKey)).tensors.weights, snapshot(1).weights);
  await assert.rejects(saveCheckpoint(store, PREFIX, snapshot(1), { maxPartBytes: 399 }), /blocks\.0\.w has 400 bytes/);
});

test('a save that is killed or fails before its manifest is invisible', async () => {
  const { store } = await freshDirectoryStore();
  for (let failAt = 0; failAt < 4; failAt++) {
    let puts = 0;
    const failing: ObjectStore = Object.create(store, {
      put: {
        value: async (...args: Parameters<ObjectStore['put']>) => {
          if (puts++ === failAt) throw new StoreUnavailable('down', true);
          return store.put(...args);
        },
      },
    });
    await assert.rejects(saveCheckpoint(failing, PREFIX, snapshot(9)), StoreUnavailable);
    assert.deepEqual(await listCheckpoints(store, PREFIX), []);
  }
});

test('one flipped bit, a cut or a missing part is CheckpointDamaged and names the part', async () => {
  const { store } = await freshDirectoryStore();
  const damages: [string, (key: string) => Promise<unknown>][] = [
    ['flipped', (key) => flip(store, key)],
    ['cut', async (key) => store.put(key, (await store.get(key)).bytes.subarray(1))],
    ['longer', async (key) => store.put(key, [(await store.get(key)).bytes, Buffer.alloc(1)])],
    ['missing', (key) => store.delete(key)],
  ];
  for (const [name, damage] of damages) {
    const saved = await saveCheckpoint(store, PREFIX, snapshot(3));
    for (const { key, sha256, group } of saved.manifest.parts) {
      const { bytes } = await store.get(key);
      await damage(key);
      await assert.rejects(
        loadCheckpoint(store, saved.manifestKey),
        (error) => error instanceof CheckpointDamaged && error.part === key && error.expected === sha256,
        `${name} ${group}`,
      );
      await store.put(key, bytes);
    }
    await loadCheckpoint(store, saved.manifestKey);
  }
});

test('a manifest damaged in any byte is refused', async () => {
  const { store } = await freshDirectoryStore();
  const { manifestKey } = await saveCheckpoint(store, PREFIX, snapshot(3));
  const { bytes } = await store.get(manifestKey);
  for (let at = 0; at < bytes.length; at += 7) {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 1;
    await store.put(manifestKey, damaged);
    await assert.rejects(
      readManifest(store, manifestKey),
      (error) => error instanceof CheckpointDamaged && error.part === manifestKey,
      `byte ${at}`,
    );
  }
});

test('a manifest may only name parts of its own folder', async () => {
  const { store } = await freshDirectoryStore();
  const { manifestKey } = await saveCheckpoint(store, PREFIX, snapshot(3));
  const elsewhere = manifestKey.replace('/p/', '/other/');
  await store.put(elsewhere, (await store.get(manifestKey)).bytes);
  await assert.rejects(readManifest(store, elsewhere), (error) => error instanceof CheckpointDamaged && /parts below/.test(error.message));
});

test('the newest whole checkpoint is taken, and each damaged one before it is reported', async () => {
  const { store } = await freshDirectoryStore();
  const saved = [];
  for (const step of [1, 2, 3, 4]) saved.push(await saveCheckpoint(store, PREFIX, snapshot(step)));
  await flip(store, saved[3]!.manifest.parts[2]!.key);
  await store.delete(saved[2]!.manifestKey);
  const keys = saved.map(({ manifestKey }) => manifestKey).reverse();
  const reported: [string, string][] = [];
  const loaded = await loadLatestValid(store, keys, (key, error) => void reported.push([key, error.name]));
  assert.equal(loaded?.manifest.step, 2);
  assert.deepEqual(reported, [
    [keys[0], 'CheckpointDamaged'],
    [keys[1], 'ObjectNotFound'],
  ]);
  assert.equal(await loadLatestValid(store, keys.slice(0, 2), () => undefined), undefined);
});

test('retention is asked about committed checkpoints by step order, not by arrival, and deletes what it says', async () => {
  const { store } = await freshDirectoryStore();
  const ids = new Map<number, string>();
  for (const step of [30, 10, 50, 20, 40]) ids.set(step, (await saveCheckpoint(store, PREFIX, snapshot(step))).id);
  assert.deepEqual(
    (await listCheckpoints(store, PREFIX)).map(({ step }) => step),
    [50, 40, 30, 20, 10],
  );
  const asked: number[] = [];
  const gone = await deleteCheckpoints(store, PREFIX, {
    unneeded: (committed) => {
      asked.push(...committed.map(({ step }) => step));
      return committed.filter(({ step }) => step === 30);
    },
  });
  assert.deepEqual(asked, [50, 40, 30, 20, 10]);
  assert.deepEqual(gone, [ids.get(30)]);
  assert.deepEqual(
    (await listCheckpoints(store, PREFIX)).map(({ step }) => step),
    [50, 40, 20, 10],
  );
  assert.deepEqual((await store.list(`${PREFIX}/${ids.get(30)}`)).objects, []);
});

test('a reader of a checkpoint that is being deleted gets it whole or ObjectNotFound, at every moment', async () => {
  for (let cut = 0; cut < 5; cut++) {
    const { store } = await freshDirectoryStore();
    const old = await saveCheckpoint(store, PREFIX, snapshot(1));
    await saveCheckpoint(store, PREFIX, snapshot(2));
    let deletes = 0;
    const deleted: string[] = [];
    // The reader looks after `cut` deletions by retention; this tests the order of those deletions.
    const probing: ObjectStore = Object.create(store, {
      delete: {
        value: async (key: string) => {
          if (deletes++ === cut) await look();
          deleted.push(key);
          await store.delete(key);
        },
      },
    });
    const look = () =>
      loadCheckpoint(store, old.manifestKey).then(
        ({ tensors }) => assert.deepEqual([tensors.weights, deleted.length], [snapshot(1).weights, 0]),
        (error) => assert.ok(error instanceof ObjectNotFound && deleted[0] === old.manifestKey, String(error)),
      );
    await deleteCheckpoints(probing, PREFIX, { unneeded: (committed) => committed.slice(1) });
    await look();
  }
  // The same for a reader that has read the manifest just before it is deleted.
  const { store } = await freshDirectoryStore();
  const old = await saveCheckpoint(store, PREFIX, snapshot(3));
  const between: ObjectStore = Object.create(store, {
    get: {
      value: async (key: string, options: object) => {
        const found = await store.get(key, options);
        if (key === old.manifestKey)
          for (const name of [old.manifestKey, ...old.manifest.parts.map((part) => part.key)]) await store.delete(name);
        return found;
      },
    },
  });
  await assert.rejects(
    loadCheckpoint(between, old.manifestKey),
    (error) => error instanceof ObjectNotFound && error.key === old.manifestKey,
  );
});

test('parts of failed saves are deleted when they are old, never those of a save in progress', async () => {
  const { store } = await freshDirectoryStore();
  await store.put(`${PREFIX}/000000000001-0123abcd/weights.0011223344556677.safetensors`, Buffer.from('half'));
  await store.put(`${PREFIX}/notes/readme`, Buffer.from('not ours'));
  assert.deepEqual(await deleteCheckpoints(store, PREFIX, { unneeded: () => [] }), []);
  assert.equal((await store.list(PREFIX)).objects.length, 2);
  await deleteCheckpoints(store, PREFIX, { unneeded: () => [], wallClock: () => Date.now() + 25 * 3600 * 1000 });
  assert.deepEqual(
    (await store.list(PREFIX)).objects.map(({ key }) => key),
    [`${PREFIX}/notes/readme`],
  );
});

test('URLs of the parts read exactly the bytes that their hashes name', async () => {
  const { store } = await freshDirectoryStore();
  const saved = await saveCheckpoint(store, PREFIX, snapshot(3));
  const urls = await presignCheckpoint(store, saved.manifest, 60);
  assert.deepEqual(
    urls.map(({ group }) => group),
    ['weights', 'ema', 'optimizer'],
  );
  for (const { url, name, sizeBytes, sha256 } of urls) {
    assert.equal((await readFile(new URL(url!))).length, sizeBytes);
    assert.ok(name.includes(sha256.slice(0, 16)));
  }
});
