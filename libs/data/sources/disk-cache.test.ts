import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, renameSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type CacheCounts, DiskCache } from './disk-cache.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-cache-'));
after(() => rmSync(base, { recursive: true, force: true }));
const newFolder = () => mkdtempSync(join(base, 'cache-'));
const nameOf = (value: number | string) => createHash('sha256').update(String(value)).digest('hex');
const files = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter((path) => statSync(path).isFile());
const sizeOf = (folder: string) => files(folder).reduce((sum, path) => sum + statSync(path).size, 0);

test('what was written is read, in parts too, by the next process as well; nothing half written is', async () => {
  const folder = newFolder();
  const cache = await DiskCache.open(folder, 1 << 24);
  const bytes = Buffer.from('0123456789');
  assert.equal(await cache.read(nameOf(1), 0, 10), undefined);
  await cache.write(nameOf(1), bytes);
  const next = await DiskCache.open(folder, 1 << 24);
  assert.deepEqual([await next.read(nameOf(1), 0, 10), await next.read(nameOf(1), 3, 4)], [bytes, Buffer.from('3456')]);
  assert.equal(await next.read(nameOf(1), 5, 10), undefined, 'shorter than asked for');
  await cache.forget(nameOf(1));
  await cache.forget(nameOf(1));
  assert.equal(await next.read(nameOf(1), 0, 10), undefined);
  assert.deepEqual([next.counts.hits, next.counts.misses], [2, 2]);
  for (const name of ['../x', 'A'.repeat(64), '', 'a'.repeat(63), `${'a'.repeat(62)}/a`])
    await assert.rejects(cache.forget(name), RangeError);
  const leftover = join(folder, 'v1', 'new', 'old');
  writeFileSync(leftover, 'x');
  utimesSync(leftover, 1, 1);
  writeFileSync(join(folder, 'v1', 'new', 'young'), 'x');
  await DiskCache.open(folder, 1 << 24);
  assert.deepEqual(readdirSync(join(folder, 'v1', 'new')), ['young']);
});

test('the limit holds, also over what earlier processes left, and old files go before young ones', async () => {
  const folder = newFolder();
  const limit = 64 * 64 * 1024;
  const bytes = Buffer.alloc(2048, 1);
  const first = await DiskCache.open(folder, limit);
  for (let i = 0; i < 4000; i++) {
    await first.write(nameOf(i), bytes);
    if (i % 500 === 0) assert.ok(sizeOf(folder) <= limit, `${sizeOf(folder)} after ${i}`);
  }
  assert.ok(sizeOf(folder) <= limit && sizeOf(folder) > limit / 2, `${sizeOf(folder)} of ${limit}`);
  assert.ok(first.counts.evictedBytes > 0);
  const kept = async (from: number) => {
    let there = 0;
    for (let i = from; i < from + 500; i++) if (await first.read(nameOf(i), 0, 2048)) there++;
    return there;
  };
  assert.ok((await kept(3500)) > (await kept(0)), 'young before old');
  const smaller = await DiskCache.open(folder, limit / 2);
  for (let i = 10_000; i < 11_000; i++) await smaller.write(nameOf(i), bytes.subarray(0, 1024));
  assert.ok(sizeOf(folder) <= limit / 2, `${sizeOf(folder)} of ${limit / 2}`);
  await first.write(nameOf('large'), Buffer.alloc(limit / 64 / 8));
  assert.equal(await first.read(nameOf('large'), 0, 1), undefined, 'too large to be kept');
});

test('a file that was cut is not there; a cache that cannot be written is a slow one', async () => {
  const folder = newFolder();
  const cache = await DiskCache.open(folder, 1 << 24);
  await cache.write(nameOf(1), Buffer.alloc(100));
  truncateSync(files(folder)[0]!, 50);
  assert.equal(await cache.read(nameOf(1), 0, 100), undefined);
  rmSync(folder, { recursive: true });
  await cache.write(nameOf(2), Buffer.alloc(100));
  assert.equal(cache.counts.failures, 1, 'the folder is gone');
});

test('four processes share a folder: right bytes, within the limit, each finding what others wrote', async () => {
  const folder = newFolder();
  const limit = 64 * 64 * 1024;
  const worker = fileURLToPath(new URL('../../../test/support/use-cache.ts', import.meta.url));
  const run = async (seed: number) => {
    const args = ['--conditions=source', '--import', 'tsx', worker, folder, String(limit), '3000', String(seed)];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 });
    return JSON.parse(stdout) as CacheCounts;
  };
  const counts = await Promise.all([1, 2, 3, 4].map(run));
  assert.ok(sizeOf(folder) <= limit, `${sizeOf(folder)} of ${limit}`);
  for (const { hits, writtenBytes, evictedBytes } of counts) assert.ok(hits > 0 && writtenBytes > 0 && evictedBytes > 0);
  assert.deepEqual(readdirSync(join(folder, 'v1', 'new')), []);
});

test('a look at a group that failed is repeated with the next write, so that the limit holds over what earlier processes left', async () => {
  const folder = newFolder();
  const share = 64 * 1024;
  const bytes = Buffer.alloc(2048, 1);
  const names = Array.from({ length: 12_000 }, (_, i) => nameOf(i));
  const earlier = await DiskCache.open(folder, 64 * share * 4);
  for (const name of names) await earlier.write(name, bytes);
  const cache = await DiskCache.open(folder, 64 * share);
  for (const group of ['0', '17', '63']) {
    const place = join(folder, 'v1', group);
    const [first, second] = readdirSync(place);
    assert.ok(sizeOf(place) > share, `${sizeOf(place)}`);
    renameSync(place, `${place}-away`);
    await cache.write(first!, bytes);
    await cache.close();
    renameSync(`${place}-away`, place);
    await cache.write(second!, bytes);
    await cache.close();
    assert.ok(sizeOf(place) <= share, `${sizeOf(place)} in group ${group}`);
  }
});
