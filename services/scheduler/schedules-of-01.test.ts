// The look for schedules of version 0.1: lists wait for it unless an earlier one found nothing, and whatever version 0.1 stores later is found too.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { type ObjectStore, objectExists } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { type FreezableStore, freezableStore } from '../../test/support/freezable-store.js';
import { until } from '../../test/support/until.js';
import { leastMarked, markOf, SchedulesOf01 } from './schedules-of-01.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-of-01-'));
const opened: { close(): unknown }[] = [];
after(async () => {
  for (const one of opened) await one.close();
  rmSync(base, { recursive: true });
});

let folder: string;
let store: ObjectStore;
beforeEach(async () => {
  folder = mkdtempSync(join(base, 'store-'));
  store = await openStore(folder);
  opened.push(store);
});

const ours = `projects/p/schedules/many/${'a'.repeat(32)}/revisions`;
/** Revisions of one schedule of this version. */
function writeRevisions(count: number): void {
  mkdirSync(join(folder, ours), { recursive: true });
  for (let k = 1; k <= count; k++) writeFileSync(join(folder, ours, `${String(k).padStart(12, '0')}.json`), '{}');
}

const writeAs01 = (id: string) => store.put(`projects/p/schedules/${id}/revisions/000000000001.json`, Buffer.from('{}'));

/** A new process, whose lists of the schedules' objects can be held up. */
function newProcess(): { readonly of01: SchedulesOf01; readonly look: FreezableStore } {
  const look = freezableStore(store);
  const list = look.store.list.bind(look.store);
  const seen = new Proxy(store, {
    get: (target, key) => (key === 'list' ? list : Reflect.get(target, key)) as unknown,
  });
  const of01 = new SchedulesOf01(seen);
  opened.push(of01);
  return { of01, look };
}

async function* entries() {
  yield { id: 'many', uid: 'a'.repeat(32) };
}

async function listed(of01: SchedulesOf01): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id, uid } of of01.merge('p', undefined, entries(), AbortSignal.timeout(30_000)))
    ids.push(`${id} ${uid === undefined}`);
  return ids;
}

const isMarked = () => objectExists(store, markOf('p'));

test('the first list waits for the look; one that finds nothing leaves a mark, and the lists of later processes do not wait', async () => {
  writeRevisions(leastMarked);
  const first = newProcess();
  first.look.freeze();
  let isDone = false;
  const waiting = listed(first.of01).then((ids) => {
    isDone = true;
    return ids;
  });
  // Another call of the same store is answered meanwhile.
  for (let k = 0; k < 20; k++) await isMarked();
  assert.equal(isDone, false);
  first.look.thaw();
  assert.deepEqual(await waiting, ['many false']);
  await until('the mark', isMarked);

  const second = newProcess();
  second.look.freeze();
  assert.deepEqual(await listed(second.of01), ['many false']);
  second.look.thaw();
});

test('what version 0.1 stores after the mark is named by the lists of the next process, and the mark goes', async () => {
  writeRevisions(leastMarked);
  await listed(newProcess().of01);
  await until('the mark', isMarked);
  await writeAs01('late');
  const next = newProcess();
  await until('the late schedule', async () => (await listed(next.of01)).length === 2);
  assert.deepEqual(await listed(next.of01), ['late true', 'many false']);
  await until('the removal of the mark', async () => !(await isMarked()));
  assert.deepEqual(await listed(newProcess().of01), ['late true', 'many false'], 'this one waits again');
});

test('a look that finds schedules, and one at few objects, leave no mark', async () => {
  writeRevisions(leastMarked - 1);
  assert.deepEqual(await listed(newProcess().of01), ['many false']);
  writeRevisions(leastMarked);
  await writeAs01('old');
  assert.deepEqual(await listed(newProcess().of01), ['many false', 'old true']);
  assert.equal(await isMarked(), false);
});

test('a look behind a list that fails is made again by the next list', async () => {
  writeRevisions(leastMarked);
  await store.put(markOf('p'), Buffer.from('anything'));
  await writeAs01('late');
  const { of01, look } = newProcess();
  look.freeze();
  assert.deepEqual(await listed(of01), ['many false']);
  look.destroy();
  await isMarked();
  look.thaw();
  await until('the late schedule', async () => (await listed(of01)).length === 2);
});

test('no write of the mark fails a list', async () => {
  writeRevisions(leastMarked);
  const of01 = new SchedulesOf01(
    new Proxy(store, {
      get: (target, key) => (key === 'put' ? () => Promise.reject(new Error('no room')) : Reflect.get(target, key)) as unknown,
    }),
  );
  opened.push(of01);
  assert.deepEqual(await listed(of01), ['many false']);
});
