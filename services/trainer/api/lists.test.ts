import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AlreadyExists, DataLoss, InvalidArgument, NotFound } from '#errors/errors.js';
import { type Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { listAll } from '#storage/object-store.js';
import { type Trainer, TrainingServices } from '../../../test/support/training-services.js';
import { until } from '../../../test/support/until.js';

let services: TrainingServices;
let trainer: Trainer;
let replica: Trainer;
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  trainer = (await services.trainer(['--role', 'api'])).client;
  replica = (await services.trainer(['--role', 'api'])).client;
});
after(() => services.close());

const idOf = ({ name }: { name: string }): string => name.slice(name.lastIndexOf('/') + 1);
const create = async (parent: string, runId: string, labels: Record<string, string> = {}, model = 'vit_nano_p7'): Promise<Run> =>
  (await trainer.createRun({ parent, runId, requestId: `create-${runId}`, spec: services.spec({ model }), labels }, soon)).run!;

/** The ids on all pages, and the names that are unreadable. */
async function listed(client: Trainer, request: { parent: string; filter?: string; orderBy?: string; pageSize?: number }) {
  const ids: string[] = [];
  const unreadable: string[] = [];
  for (let pageToken = ''; ; ) {
    const page = await client.listRuns({ ...request, pageToken }, soon);
    ids.push(...page.runs.map(idOf));
    unreadable.push(...page.unreadable.map(idOf));
    pageToken = page.nextPageToken;
    if (pageToken === '') return { ids, unreadable };
  }
}

/** For 20 s. */
const slowly = { looks: 200, pauseMs: 100 };

async function refused(call: Promise<unknown>, ...fields: string[]): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof InvalidArgument, `${error}`);
    assert.deepEqual(
      error.violations.map(({ field }) => field),
      fields,
    );
    return true;
  });
}

test('runs are listed by state, model and labels, in the order of names or creation, page by page, by every replica', async () => {
  const parent = 'projects/filters';
  const teams = ['vision', 'speech'];
  // Names in another order than creation; `a` sorts before `a-b`.
  const order = ['m', 'a-b', 'z', 'a', 'k'];
  for (const [k, id] of order.entries()) {
    const run = await create(parent, id, { team: teams[k % 2]! });
    assert.deepEqual(run.labels, { team: teams[k % 2]! });
    await delay(5);
  }
  await trainer.pauseRun({ name: `${parent}/runs/z` }, soon);
  await trainer.cancelRun({ name: `${parent}/runs/k` }, soon);
  assert.deepEqual((await trainer.getRun({ name: `${parent}/runs/z` }, soon)).run!.labels, { team: 'vision' });

  for (const client of [trainer, replica]) {
    for (const [request, ids] of [
      [{}, ['a', 'a-b', 'k', 'm', 'z']],
      [{ orderBy: 'name desc' }, ['z', 'm', 'k', 'a-b', 'a']],
      [{ orderBy: 'create_time' }, order],
      [{ orderBy: 'create_time desc' }, [...order].reverse()],
      [{ filter: 'labels.team = vision' }, ['k', 'm', 'z']],
      [{ filter: 'labels.team = vision AND state = QUEUED' }, ['m']],
      [{ filter: 'state = (PAUSED OR CANCELLED)', orderBy: 'create_time desc' }, ['k', 'z']],
      [{ filter: 'model != vit_nano_p7' }, []],
      [{ filter: 'labels.team != vision AND labels.none = ""' }, ['a', 'a-b']],
    ] as const)
      for (const pageSize of [0, 1, 2, 5])
        assert.deepEqual(
          await listed(client, { parent, ...request, pageSize }),
          { ids, unreadable: [] },
          JSON.stringify([request, pageSize]),
        );
  }
  assert.deepEqual(await listed(trainer, { parent: 'projects/none' }), { ids: [], unreadable: [] });

  // This process knows its own changes at once, others learn of them within seconds.
  const filter = 'state = CANCELLED';
  await trainer.cancelRun({ name: `${parent}/runs/a` }, soon);
  assert.deepEqual((await listed(trainer, { parent, filter })).ids, ['a', 'k']);
  await until('the other replica', async () => (await listed(replica, { parent, filter })).ids.join() === 'a,k', slowly);
  await trainer.deleteRun({ name: `${parent}/runs/a` }, soon);
  for (const request of [{}, { filter }, { orderBy: 'create_time' }]) {
    assert.ok(!(await listed(trainer, { parent, ...request })).ids.includes('a'));
    await until('the other replica', async () => !(await listed(replica, { parent, ...request })).ids.includes('a'), slowly);
  }
});

test('what is created between two pages neither moves nor repeats what was on them', async () => {
  const parent = 'projects/pages';
  for (const id of ['c', 'e', 'g', 'i']) {
    await create(parent, id);
    await delay(5);
  }
  for (const orderBy of ['name', 'name desc', 'create_time', 'create_time desc']) {
    const first = await trainer.listRuns({ parent, orderBy, pageSize: 2 }, soon);
    const added = `x${orderBy.replace(/\W/g, '').replace('_', '')}`;
    await create(parent, added);
    const seen = first.runs.map(idOf);
    for (let pageToken = first.nextPageToken; pageToken !== ''; ) {
      const page = await trainer.listRuns({ parent, orderBy, pageSize: 2, pageToken }, soon);
      seen.push(...page.runs.map(idOf));
      pageToken = page.nextPageToken;
    }
    assert.equal(new Set(seen).size, seen.length, `${orderBy}: ${seen}`);
    for (const id of ['c', 'e', 'g', 'i']) assert.ok(seen.includes(id), `${orderBy}: ${seen}`);
  }
});

test('a page token belongs to its filter and order', async () => {
  const parent = 'projects/pages';
  const { nextPageToken: pageToken } = await trainer.listRuns({ parent, pageSize: 1, filter: 'state = QUEUED' }, soon);
  assert.notEqual(pageToken, '');
  await refused(trainer.listRuns({ parent, pageToken }, soon), 'page_token');
  await refused(trainer.listRuns({ parent, pageToken, filter: 'state = PAUSED' }, soon), 'page_token');
  await refused(trainer.listRuns({ parent, pageToken, filter: 'state = QUEUED', orderBy: 'create_time' }, soon), 'page_token');
  await refused(trainer.listRuns({ parent, filter: 'state >', orderBy: 'age', pageToken: 'x' }, soon), 'filter', 'order_by', 'page_token');
});

test('labels are checked, and part of what a repeated request must repeat', async () => {
  const parent = 'projects/labels';
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, k) => [`k${k}`, '']));
  await refused(create(parent, 'bad', many), 'labels');
  await refused(create(parent, 'bad', { Team: 'x' }), 'labels');
  await refused(create(parent, 'bad', { team: 'a b' }), 'labels.team');
  await refused(create(parent, 'bad', { team: 'x'.repeat(64) }), 'labels.team');
  await assert.rejects(trainer.getRun({ name: `${parent}/runs/bad` }, soon), NotFound);
  const labels = { team: 'vision', stage: '', 'v-1_x': 'A.b-c_9' };
  const run = await create(parent, 'same', labels);
  assert.deepEqual((await create(parent, 'same', { ...labels })).uid, run.uid);
  for (const other of [{}, { ...labels, team: 'speech' }, { ...labels, more: '' }])
    await assert.rejects(create(parent, 'same', other), (error) => error instanceof AlreadyExists && /labels/.test(error.why));
});

test('a run that is damaged is named in every list, and can be cancelled and deleted', async (t) => {
  const parent = 'projects/damage';
  const logKeys = async (id: string): Promise<string[]> => {
    const keys: string[] = [];
    for await (const { key } of listAll(services.store, `${parent}/runs/${id}/`)) if (/\/log\/\d+$/.test(key)) keys.push(key);
    return keys;
  };
  const kinds: Record<string, (keys: string[]) => Promise<unknown>> = {
    flipped: async (keys) => {
      const { bytes } = await services.store.get(keys[1]!);
      bytes[20]! ^= 1;
      await services.store.put(keys[1]!, bytes);
    },
    hole: (keys) => services.store.delete(keys[1]!),
    empty: (keys) => services.store.put(keys[2]!, Buffer.alloc(0)),
    cut: async (keys) => {
      const { bytes } = await services.store.get(keys[0]!);
      await services.store.put(keys[0]!, bytes.subarray(0, bytes.length >> 1));
    },
    text: (keys) => services.store.put(keys[2]!, Buffer.from('<html>503 Slow Down</html>')),
    shape: (keys) => services.store.put(keys[0]!, Buffer.from('{"seq":1,"writer":"w","kind":"steps","__proto__":{"x":1}}')),
    headless: (keys) => services.store.delete(keys[0]!),
    foreign: async (keys) => services.store.put(keys[1]!, (await services.store.get(keys[2]!)).bytes),
  };
  await create(parent, 'whole');
  for (const [kind, harm] of Object.entries(kinds)) {
    const name = `${parent}/runs/${kind}`;
    await create(parent, kind);
    await trainer.pauseRun({ name }, soon);
    await trainer.resumeRun({ name }, soon);
    const keys = await logKeys(kind);
    assert.equal(keys.length, 3);
    await harm(keys);
  }
  const damaged = Object.keys(kinds).sort();
  // A process that has not seen them whole.
  const fresh = (await services.trainer(['--role', 'api'])).client;
  for (const request of [{}, { pageSize: 2 }, { filter: 'state = QUEUED' }, { orderBy: 'create_time desc' }])
    for (let look = 0; look < 2; look++) {
      const { ids, unreadable } = await listed(fresh, { parent, ...request });
      assert.deepEqual([ids, unreadable.sort()], [['whole'], damaged], JSON.stringify(request));
    }
  const page = await fresh.listRuns({ parent }, soon);
  for (const { reason } of page.unreadable) assert.match(reason, /damaged/);
  for (const kind of damaged)
    await t.test(kind, async () => {
      const name = `${parent}/runs/${kind}`;
      for (let look = 0; look < 2; look++) await assert.rejects(fresh.getRun({ name }, soon), DataLoss);
      for (let look = 0; look < 2; look++) {
        const { run } = await fresh.cancelRun({ name }, soon);
        assert.equal(run!.name, name);
        assert.equal(run!.state, RunState.CANCELLED);
      }
      await fresh.deleteRun({ name }, soon);
      await assert.rejects(fresh.getRun({ name }, soon), NotFound);
      assert.ok(!(await listed(fresh, { parent })).unreadable.includes(kind));
      const again = await create(parent, kind);
      assert.equal(again.state, RunState.QUEUED);
      assert.deepEqual((await fresh.getRun({ name }, soon)).run!.uid, again.uid);
    });
  const uidLost: Record<string, (key: string) => Promise<unknown>> = {
    short: async (key) => services.store.put(key, (await services.store.get(key)).bytes.subarray(0, 50)),
    lost: (key) => services.store.delete(key),
  };
  for (const [how, damage] of Object.entries(uidLost))
    await t.test(`a run whose uid cannot be read, because its object is ${how}, is named, and can be deleted`, async () => {
      const id = `nameless-${how}`;
      const name = `${parent}/runs/${id}`;
      const first = await create(parent, id);
      await damage(`${name}/incarnations/00000001.json`);
      const other = (await services.trainer(['--role', 'api'])).client;
      assert.ok((await listed(other, { parent })).unreadable.includes(id));
      await assert.rejects(other.getRun({ name }, soon), DataLoss);
      await assert.rejects(other.createRun({ parent, runId: id, spec: services.spec() }, soon), DataLoss);
      await other.deleteRun({ name }, soon);
      await assert.rejects(other.getRun({ name }, soon), NotFound);
      assert.ok(!(await listed(other, { parent })).unreadable.includes(id));
      assert.notEqual((await create(parent, id)).uid, first.uid);
      await fresh.cancelRun({ name }, soon);
      await fresh.deleteRun({ name }, soon);
    });
  await until('everything is whole', async () => (await listed(fresh, { parent })).ids.length === 1 + damaged.length, slowly);
});
