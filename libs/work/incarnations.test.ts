import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataLoss, FailedPrecondition, NotFound } from '#errors/errors.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { freezableStore } from '../../test/support/freezable-store.js';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { Incarnations, incarnationFolder, isUid } from './incarnations.js';

const name = 'projects/p/runs/r';
const none = () => ({});
const keysOf = async (store: ObjectStore, prefix: string): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of listAll(store, prefix)) keys.push(key.slice(prefix.length));
  return keys;
};

test('a name is free, belongs to a uid, is free again after its tombstone, and gets another uid', async () => {
  const { store } = await freshDirectoryStore();
  const names = new Incarnations(store);
  assert.equal(await names.newest(name), undefined);
  await assert.rejects(names.current('run', name), NotFound);
  const first = await names.mint('run', name, () => ({ note: 1 }));
  assert.ok(isUid(first.uid));
  assert.deepEqual(await names.mint('run', name, none), first, 'a name that has a uid keeps it');
  assert.deepEqual(await new Incarnations(store).current('run', name), first);
  assert.equal(await names.bury(name, 'f'.repeat(32)), false, 'another uid');
  assert.equal(await names.bury(name, first.uid, { last: 3 }), true);
  assert.equal(await names.bury(name, first.uid), false, 'once');
  await assert.rejects(names.current('run', name), NotFound);
  const second = await names.mint('run', name, (before) => ({ after: before?.facts.last }));
  assert.notEqual(second.uid, first.uid);
  assert.deepEqual([second.number, second.facts], [3, { after: 3 }]);
  assert.deepEqual(await keysOf(store, `${name}/incarnations/`), ['00000001.json', '00000002.json', '00000003.json']);
});

test('of many creates and deletes at once, one wins each, and everybody learns which', async () => {
  const { store } = await freshDirectoryStore();
  for (let round = 1; round <= 5; round++) {
    const minted = await Promise.all(Array.from({ length: 8 }, () => new Incarnations(store).mint('run', name, none)));
    assert.equal(new Set(minted.map(({ uid }) => uid)).size, 1);
    const { uid } = minted[0]!;
    const buried = await Promise.all(Array.from({ length: 8 }, () => new Incarnations(store).bury(name, uid)));
    assert.equal(buried.filter(Boolean).length, 1);
  }
  assert.equal((await new Incarnations(store).newest(name))!.number, 10);
});

test('a process that knows an old incarnation learns of the new one; its late tombstone buries nothing', async () => {
  const { store } = await freshDirectoryStore();
  const frozen = freezableStore(store);
  const old = new Incarnations(frozen.store);
  const first = await old.mint('run', name, none);
  frozen.freeze();
  const late = old.bury(name, first.uid);
  const names = new Incarnations(store);
  await names.bury(name, first.uid);
  const second = await names.mint('run', name, none);
  frozen.thaw();
  assert.equal(await late, false);
  assert.equal(await old.isCurrent(name, first.uid), false);
  assert.deepEqual(await old.newest(name), second);
});

test('a missing incarnation is damage at every look and is never given out again', async () => {
  for (const [lost, number] of [
    ['00000001.json', 1],
    ['00000002.json', 2],
  ] as const) {
    const { store } = await freshDirectoryStore();
    const names = new Incarnations(store);
    const { uid } = await names.mint('run', name, none);
    await names.bury(name, uid);
    await names.mint('run', name, none);
    await store.delete(`${name}/incarnations/${lost}`);
    const fresh = new Incarnations(store);
    for (let look = 1; look <= 3; look++)
      await assert.rejects(
        fresh.newest(name),
        (error) => error instanceof DataLoss && error.what.endsWith(lost),
        `number ${number}, look ${look}`,
      );
    await assert.rejects(fresh.mint('run', name, none), DataLoss);
  }
  const { store } = await freshDirectoryStore();
  const names = new Incarnations(store);
  await names.mint('run', name, none);
  await store.delete(`${name}/incarnations/00000001.json`);
  for (let look = 1; look <= 3; look++) await assert.rejects(names.newest(name), DataLoss, 'the newest one, which was read before');
  await store.put(`${name}/incarnations/00000001.json`, Buffer.from('{"format":'));
  await assert.rejects(new Incarnations(store).newest(name), DataLoss);
});

test('a newest incarnation that is lost is damage as long as its uid has objects, and its number is not given out again', async () => {
  // With 1 record: the only one is lost. With 3: a tombstone remains, so that the name seems to be free.
  for (const records of [1, 3]) {
    const { store } = await freshDirectoryStore();
    const names = new Incarnations(store);
    let { uid } = await names.mint('run', name, none);
    if (records === 3) {
      await names.bury(name, uid);
      uid = (await names.mint('run', name, none)).uid;
    }
    await store.put(`${incarnationFolder(name, uid)}/log/000000000001`, Buffer.from('x'));
    const lost = `${name}/incarnations/0000000${records}.json`;
    const { bytes } = await store.get(lost);
    await store.delete(lost);
    const fresh = new Incarnations(store);
    const isLoss = (error: unknown): boolean => error instanceof DataLoss && error.what === incarnationFolder(name, uid);
    for (let look = 1; look <= 2; look++) {
      await assert.rejects(fresh.current('run', name), isLoss);
      await assert.rejects(fresh.mint('run', name, none), isLoss);
      await assert.rejects(fresh.newestWhole(name), isLoss);
    }
    assert.equal(await fresh.isCurrent(name, uid), false, 'its owner stops');
    await fresh.sweep(name);
    assert.deepEqual(await keysOf(store, `${name}/${uid}/`), ['log/000000000001'], 'nothing is removed');
    // Either a backup or a deletion ends it.
    await store.put(lost, bytes);
    assert.equal((await new Incarnations(store).current('run', name)).uid, uid);
    await store.delete(lost);
    const freeing = new Incarnations(store);
    await freeing.buryDamaged(name);
    await freeing.buryDamaged(name);
    await freeing.sweep(name);
    assert.deepEqual(await keysOf(store, `${name}/${uid}/`), []);
    // Also a process that knew the lost one learns that it is gone.
    for (const process of [freeing, names, new Incarnations(store)]) await assert.rejects(process.current('run', name), NotFound);
    const after = await names.mint('run', name, none);
    assert.notEqual(after.uid, uid);
    assert.ok(after.number > records + 1);
  }
});

test('sweeping removes what lies below deleted uids, and nothing else', async () => {
  const { store } = await freshDirectoryStore();
  const names = new Incarnations(store);
  const uids: string[] = [];
  for (let round = 0; round < 3; round++) {
    const { uid } = await names.mint('run', name, none);
    uids.push(uid);
    for (const key of ['log/000000000001', 'checkpoints/c/manifest.json'])
      await store.put(`${incarnationFolder(name, uid)}/${key}`, Buffer.from('x'));
    if (round < 2) await names.bury(name, uid);
  }
  await store.put('projects/p/runs/r2/other', Buffer.from('x'));
  await new Incarnations(store).sweep(name);
  const left = (await keysOf(store, `${name}/`)).filter((key) => !key.startsWith('incarnations/'));
  assert.deepEqual(left, [`${uids[2]}/checkpoints/c/manifest.json`, `${uids[2]}/log/000000000001`]);
  await names.bury(name, uids[2]!);
  await names.sweep(name);
  assert.deepEqual(
    (await keysOf(store, `${name}/`)).filter((key) => !key.startsWith('incarnations/')),
    [],
  );
  assert.deepEqual(await keysOf(store, 'projects/p/runs/r2/'), ['other']);
});

test('what version 0.1 stored is refused with what to do, stays as it is, and can be removed', async () => {
  const { store } = await freshDirectoryStore();
  const names = new Incarnations(store);
  await store.put(`${name}/log/000000000001`, Buffer.from('{}'));
  await store.put(`${name}/checkpoints/c/manifest.json`, Buffer.from('{}'));
  const refused = (error: unknown) => error instanceof FailedPrecondition && /version 0\.1.*delete it/.test(error.message);
  await assert.rejects(names.current('run', name), refused);
  await assert.rejects(names.mint('run', name, none), refused);
  await names.sweep(name);
  assert.equal((await keysOf(store, `${name}/`)).length, 2);
  assert.equal(await names.removeLayoutOf01(name), true);
  assert.deepEqual(await keysOf(store, `${name}/`), []);
  assert.equal(await names.removeLayoutOf01(name), false);
  const { uid } = await names.mint('run', name, none);
  await store.put(`${incarnationFolder(name, uid)}/log/000000000001`, Buffer.from('{}'));
  assert.equal(await names.removeLayoutOf01(name), false);
});
