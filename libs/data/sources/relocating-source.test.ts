/** Which of two copies is read: the one that the newest index names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DataLoss } from '#errors/errors.js';
import type { SampleSource } from '../datasets/sample-source.js';
import { type Found, RelocatingSource } from './relocating-source.js';

interface Copy extends SampleSource {
  reads: number;
  closed: boolean;
  broken: boolean;
}

function copy(): Copy {
  return {
    reads: 0,
    closed: false,
    broken: false,
    async read(samples) {
      if (this.broken) throw new DataLoss('im0.jpg', 'it is gone');
      this.reads++;
      return samples.map(() => new Uint8Array(1));
    },
    forget: async () => false,
    async close() {
      this.closed = true;
    },
  };
}

const eventually = async (condition: () => boolean, read: () => Promise<unknown>): Promise<void> => {
  for (let i = 0; i < 1000 && !condition(); i++) {
    await read();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(condition());
};

test('a copy that is indexed while the old one is whole is read from then on; both are closed at the end', async () => {
  const copies: Record<string, Copy> = { old: copy(), new: copy() };
  let place = 'old';
  const found = async (): Promise<Found> => ({ place, source: copies[place] as Copy });
  const source = new RelocatingSource(await found(), found, async () => place, 0);
  await eventually(
    () => copies.old!.reads >= 20,
    () => source.read([0]),
  );
  assert.equal(copies.new!.reads, 0);
  place = 'new';
  await eventually(
    () => copies.new!.reads > 0,
    () => source.read([0]),
  );
  const before = copies.old!.reads;
  for (let i = 0; i < 10; i++) await source.read([0]);
  assert.equal(copies.old!.reads, before);
  await source.close();
  assert.ok(copies.old!.closed && copies.new!.closed);
});

test('bytes that are gone are looked for at once; a store that is away leaves what is open as it is', async () => {
  const copies: Record<string, Copy> = { old: copy(), new: copy() };
  let place = 'old';
  const found = async (): Promise<Found> => ({ place, source: copies[place] as Copy });
  const source = new RelocatingSource(await found(), found, async () => Promise.reject(new Error('the store is away')), 0);
  for (let i = 0; i < 10; i++) await source.read([0]);
  assert.equal(copies.old!.reads, 10);
  [copies.old!.broken, place] = [true, 'new'];
  await source.read([0]);
  assert.equal(copies.new!.reads, 1);
  await source.close();
});
