import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ResourceExhausted } from '#errors/errors.js';
import { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { RecordLog } from '#storage/record-log.js';
import { countedStore } from '../../../test/support/counted-store.js';
import { type Trainer, TrainingServices } from '../../../test/support/training-services.js';
import { RunWatches } from './run-watches.js';

let services: TrainingServices;
let trainer: Trainer;
const parent = 'projects/p';
const soon = { timeoutMs: 60_000 };

before(async () => {
  services = await TrainingServices.open();
  trainer = (await services.trainer(['--role', 'api'])).client;
});
after(() => services.close());

test('every watcher of a run gets all of its events once and in order, wherever it begins and however slow it is', async () => {
  const { run } = await trainer.createRun({ parent, runId: 'watched', spec: services.spec() }, soon);
  const { name } = run!;
  const watch = async (afterSequence: bigint, pauseMs: number): Promise<string[]> => {
    const events: string[] = [];
    for await (const { event } of trainer.watchRun({ name, afterSequence }, soon)) {
      events.push(JSON.stringify(RunEvent.toJSON(event!)));
      if (pauseMs > 0) await delay(pauseMs);
    }
    return events;
  };
  const early = Array.from({ length: 60 }, (_, k) => watch(0n, k % 10 === 0 ? 20 : 0));
  for (let k = 0; k < 5; k++) {
    await trainer.pauseRun({ name }, soon);
    await trainer.resumeRun({ name }, soon);
  }
  const late = Array.from({ length: 20 }, (_, k) => watch(BigInt(k % 5), 0));
  await delay(100);
  await trainer.cancelRun({ name }, soon);
  const all = await Promise.all(early);
  const [expected] = all;
  assert.deepEqual(
    expected!.map((event) => Number((JSON.parse(event) as { sequence: string }).sequence)),
    Array.from({ length: 12 }, (_, k) => k + 1),
  );
  for (const events of all) assert.deepEqual(events, expected);
  for (const [k, events] of (await Promise.all(late)).entries()) assert.deepEqual(events, expected!.slice(k % 5));
});

test('200 watchers cost what one costs, and those that are behind read a record once for all', async (t) => {
  const store = countedStore(services.store);
  const writer = new RecordLog(services.store, 'projects/p/shared/log');
  const append = () => writer.append('steps', { steps: { steps: [] } });
  for (let k = 0; k < 30; k++) await append();
  const watches = new RunWatches({ pollMs: 20, onError: (error) => assert.fail(`${error}`) });
  t.after(() => watches.close());
  const leaving = new AbortController();
  let got = 0;
  const watched = { key: 'shared', log: new RecordLog(store, 'projects/p/shared/log'), newest: 30, ended: false };
  const all = Array.from({ length: 200 }, async (_, k) => {
    let last = 0n;
    for await (const event of watches.events(watched, 0, leaving.signal)) {
      assert.equal(event.sequence, ++last);
      got++;
      if (k === 0) await delay(2);
    }
  });
  while (got < 200 * 30) await delay(5);
  assert.equal(watches.watches, 200);
  const behind = store.counts.gets;
  assert.ok(behind < 200, `${behind} reads of 30 records by 200 watchers`);
  for (let k = 0; k < 10; k++) {
    await append();
    await delay(20);
  }
  while (got < 200 * 40) await delay(5);
  const live = store.counts.gets - behind;
  assert.ok(live < 200, `${live} reads for 10 records by 200 watchers`);
  leaving.abort(new Error('left'));
  for (const result of await Promise.allSettled(all)) assert.equal(result.status, 'rejected');
  assert.equal(watches.watches, 0);
  const idle = store.counts.gets;
  await delay(80);
  assert.ok(store.counts.gets <= idle + 1, 'nobody watches, so nobody reads');
});

test('more watches than allowed are refused', async (t) => {
  const watches = new RunWatches({ pollMs: 60_000, maxWatches: 1, onError: () => {} });
  t.after(() => watches.close());
  const log = new RecordLog(services.store, 'projects/p/none/log');
  const leaving = new AbortController();
  const open = () => watches.events({ key: 'none', log, newest: 0, ended: false }, 0, leaving.signal).next();
  const first = open();
  await assert.rejects(open(), ResourceExhausted);
  leaving.abort(new Error('left'));
  await assert.rejects(first, /left/);
});
