import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { storeConformance } from '../../test/support/store-conformance.js';
import { DirectoryStore } from './directory-store.js';
import { InvalidKey, listAll, StoreUnavailable } from './object-store.js';

const folders: string[] = [];
const freshFolder = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-store-'));
  folders.push(folder);
  return folder;
};
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

storeConformance('the directory store', async () => {
  const folder = await freshFolder();
  return { store: await DirectoryStore.open(folder), other: await DirectoryStore.open(folder), close: async () => {} };
});

test('opening creates the folder; a file in its place is StoreUnavailable and not worth a retry', async () => {
  const folder = await freshFolder();
  const store = await DirectoryStore.open(join(folder, 'new', 'deep'));
  assert.ok((await stat(join(folder, 'new', 'deep'))).isDirectory());
  assert.equal(store.uri, pathToFileURL(join(folder, 'new', 'deep')).href);
  await writeFile(join(folder, 'file'), '');
  await assert.rejects(DirectoryStore.open(join(folder, 'file')), (error) => error instanceof StoreUnavailable && !error.retryable);
});

test('files left by a killed writer are never listed, never valid keys, and are removed with their empty folders when they are old', async () => {
  const folder = await freshFolder();
  const store = await DirectoryStore.open(folder);
  await store.put('a/real', Buffer.from('x'));
  await mkdir(join(folder, 'b', 'c'), { recursive: true });
  const leftovers = [join(folder, 'a', '.tmp-999-old'), join(folder, '.tmp-999-old'), join(folder, 'b', 'c', '.tmp-999-old')];
  for (const path of [...leftovers, join(folder, 'a', '.tmp-999-young')]) await writeFile(path, 'half');
  for (const path of leftovers) await utimes(path, 1, 1);
  for await (const { key } of listAll(store, '')) assert.equal(key, 'a/real');
  assert.equal((await store.list('')).objects.length, 1);
  await assert.rejects(store.get('a/.tmp-999-old'), InvalidKey);
  await (await DirectoryStore.open(folder)).swept;
  assert.deepEqual((await readdir(join(folder, 'a'))).sort(), ['.tmp-999-young', 'real']);
  assert.deepEqual(await readdir(folder), ['a'], 'folders that held nothing else are gone too');
});

test('a put leaves nothing but its object, and deleting the last object of a folder takes the folder along', async () => {
  const folder = await freshFolder();
  const store = await DirectoryStore.open(folder);
  await store.put('p/q/r', Buffer.from('1'));
  await store.put('p/q/r', Buffer.from('2'));
  await store.put('p/q/r', Buffer.from('3'), { ifAbsent: true }).catch(() => undefined);
  await store.replace('p/q/r', Buffer.from('4'), { ifMatch: (await store.head('p/q/r')).etag });
  assert.deepEqual(await readdir(join(folder, 'p', 'q')), ['r']);
  await store.delete('p/q/r');
  assert.deepEqual(await readdir(folder), []);
});

test('an object is not a folder: keys below one are refused', async () => {
  const store = await DirectoryStore.open(await freshFolder());
  await store.put('a/b', Buffer.from('1'));
  await assert.rejects(store.put('a/b/c', Buffer.from('2')), InvalidKey);
  await assert.rejects(store.put('a', Buffer.from('2')), InvalidKey);
  await assert.rejects(store.get('a/b/c'), /does not exist/);
});

test('puts and deletes that share folders never disturb one another', async () => {
  const store = await DirectoryStore.open(await freshFolder());
  const worker = async (w: number) => {
    for (let i = 0; i < 30; i++) {
      await store.put(`shared/deep/${w}`, Buffer.from(`${i}`));
      await store.delete(`shared/deep/${w}`);
    }
    await store.put(`shared/deep/${w}`, Buffer.from('last'));
  };
  await Promise.all([0, 1, 2, 3].map(worker));
  assert.equal((await store.list('shared/')).objects.length, 4);
});

test('a lock left by a killed process holds a replacement up only until it is old', async () => {
  const folder = await freshFolder();
  const store = await DirectoryStore.open(folder);
  const { etag } = await store.put('a', Buffer.from('1'));
  const lock = join(folder, '.tmp-lock-a');
  await writeFile(lock, '999');
  await assert.rejects(store.replace('a', Buffer.from('2'), { ifMatch: etag, signal: AbortSignal.timeout(100) }), {
    name: /Abort|Timeout/,
  });
  await utimes(lock, 1, 1);
  await store.replace('a', Buffer.from('2'), { ifMatch: etag, signal: AbortSignal.timeout(10_000) });
  assert.ok(!existsSync(lock));
});

test('a folder that cannot be written is StoreUnavailable', { skip: process.getuid?.() === 0 && 'root may write anywhere' }, async () => {
  const folder = await freshFolder();
  const store = await DirectoryStore.open(folder);
  await mkdir(join(folder, 'closed'));
  await chmod(join(folder, 'closed'), 0o500);
  await assert.rejects(store.put('closed/a', Buffer.from('1')), StoreUnavailable);
});

test('a writer killed at any moment leaves whole objects only', { timeout: 60_000 }, async () => {
  const folder = await freshFolder();
  const module = new URL('./directory-store.ts', import.meta.url).href;
  const script = `import { DirectoryStore } from ${JSON.stringify(module)};
    const store = await DirectoryStore.open(${JSON.stringify(folder)});
    console.log('ready');
    for (let i = 0; ; i++) {
      await store.put('log/' + String(i).padStart(12, '0'), Buffer.alloc(300_000, i % 251), { ifAbsent: true }).catch(() => undefined);
      await store.put('overwritten', Buffer.alloc(300_000, i % 251));
    }`;
  for (const killAfterMs of [5, 12, 31]) {
    const child = spawn(process.execPath, [...process.execArgv, '--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await new Promise((resolve) => setTimeout(resolve, killAfterMs));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const store = await DirectoryStore.open(folder);
    for await (const { key } of listAll(store, '')) {
      const { bytes } = await store.get(key);
      assert.ok(bytes.equals(Buffer.alloc(300_000, bytes[0])), key);
    }
  }
});
