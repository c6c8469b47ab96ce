import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WaitingStatus } from './waiting-status.js';

function recorder(options: { patienceMs: number; everyMs: number; hold?: Promise<void> }) {
  const messages: string[] = [];
  const status = new WaitingStatus({
    ...options,
    append: async (make) => {
      await options.hold;
      const record = make();
      if (record) messages.push(record.message);
    },
  });
  return { messages, status };
}

test('a long wait is recorded with its reason, a new reason too, and then that the run goes on', async () => {
  const { messages, status } = recorder({ patienceMs: 1, everyMs: 5 });
  let why = 'waits for data';
  let go = (): void => {};
  const work = new Promise<string>((resolve) => {
    go = () => resolve('done');
  });
  const waited = status.during(() => why, work);
  while (messages.length < 1) await delay(1);
  why = 'waits for data: replica gone';
  while (messages.length < 2) await delay(1);
  go();
  assert.equal(await waited, 'done');
  await status.close();
  assert.deepEqual(messages, ['waits for data', 'waits for data: replica gone', '']);
});

test('a short wait leaves no record, also when it fails', async () => {
  const { messages, status } = recorder({ patienceMs: 60_000, everyMs: 60_000 });
  await status.during(() => 'waits', Promise.resolve());
  await assert.rejects(
    status.during(() => 'waits', Promise.reject(new Error('refused'))),
    /refused/,
  );
  await status.close();
  assert.deepEqual(messages, []);
});

test('a store that holds the record until the run goes on gets none', async () => {
  let answer = (): void => {};
  const hold = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const { messages, status } = recorder({ patienceMs: 1, everyMs: 1000, hold });
  await status.during(() => 'waits for the store', delay(30));
  answer();
  await status.close();
  assert.deepEqual(messages, []);
});

test('many waits in a row are one record', async () => {
  const { messages, status } = recorder({ patienceMs: 1, everyMs: 60_000 });
  for (let i = 0; i < 20; i++) await status.during(() => `wait ${i}`, delay(5));
  await status.close();
  assert.ok(messages.length <= 2, messages.join());
});
