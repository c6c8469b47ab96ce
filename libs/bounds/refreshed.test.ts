import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refreshed } from './refreshed.js';

const never = new AbortController().signal;
const always = { freshMs: Number.MAX_VALUE, staleMs: Number.MAX_VALUE };
const between = { freshMs: -1, staleMs: Number.MAX_VALUE };
const stale = { freshMs: -1, staleMs: -1 };

/** A reading that ends when the test says so. */
function controlled<T>() {
  const readings: { resolve: (value: T) => void; reject: (error: Error) => void; kept: T | undefined }[] = [];
  const read = (kept: T | undefined) => new Promise<T>((resolve, reject) => readings.push({ resolve, reject, kept }));
  return { readings, read };
}

test('a fresh value is read once, and calls at the same time share a reading', async () => {
  const { readings, read } = controlled<string>();
  const value = new Refreshed(read, always);
  const both = Promise.all([value.get(never), value.get(never)]);
  assert.equal(readings.length, 1);
  readings[0]!.resolve('a');
  assert.deepEqual(await both, ['a', 'a']);
  assert.equal(await value.get(never), 'a');
  assert.equal(readings.length, 1);
  assert.ok(value.isFresh);
});

test('between fresh and stale, the impatient get what is kept while it is read again', async () => {
  const { readings, read } = controlled<string>();
  const value = new Refreshed(read, between);
  value.set('a');
  assert.equal(await value.get(never, Promise.resolve()), 'a');
  assert.equal(readings.length, 1);
  assert.equal(readings[0]!.kept, 'a');
  const patient = value.get(never);
  const both = value.get(never, new Promise(() => {}));
  readings[0]!.resolve('b');
  assert.deepEqual(await Promise.all([patient, both]), ['b', 'b']);
  assert.equal(value.kept, 'b');
});

test('a stale value is waited for, also by the impatient', async () => {
  const { readings, read } = controlled<string>();
  const value = new Refreshed(read, stale);
  value.set('old');
  let got: string | undefined;
  const waiting = value.get(never, Promise.resolve()).then((now) => {
    got = now;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(got, undefined);
  readings[0]!.resolve('new');
  await waiting;
  assert.equal(got, 'new');
});

test('what was set during a reading wins over what it read', async () => {
  const { readings, read } = controlled<string>();
  const value = new Refreshed(read, always);
  const first = value.get(never);
  value.set('set');
  readings[0]!.resolve('read');
  await first;
  assert.equal(await value.get(never), 'set');
});

test('an error reaches those who wait, is not kept, and a signal ends the waiting', async () => {
  const { readings, read } = controlled<string>();
  const value = new Refreshed(read, always);
  const failing = value.get(never);
  readings[0]!.reject(new Error('away'));
  await assert.rejects(failing, /away/);
  const leaving = new AbortController();
  const left = value.get(leaving.signal);
  leaving.abort(new Error('left'));
  await assert.rejects(left, /left/);
  readings[1]!.resolve('a');
  assert.equal(await value.get(never), 'a');
});
