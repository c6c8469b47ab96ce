import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { type FileOutcome, readFiles } from './files.js';

const base = realpathSync(mkdtempSync(join(tmpdir(), 'dropstream-files-')));
after(() => rmSync(base, { recursive: true, force: true }));
const root = join(base, 'root');
const outside = join(base, 'root-beside');
for (const folder of [root, outside]) mkdirSync(folder);

const put = (path: string, bytes: Uint8Array) => {
  writeFileSync(path, bytes);
  return { path, sizeBytes: bytes.byteLength };
};
const shown = (outcome: FileOutcome) => (outcome.kind === 'read' ? Buffer.from(outcome.bytes).toString() : outcome);

test('files of any sizes lie one after the other in the memory that is given', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 20 }), fc.nat(100), async (contents, spare) => {
      const files = contents.map((bytes, i) => put(join(root, `any${i}`), bytes));
      const asked: number[] = [];
      const memory = new Uint8Array(contents.reduce((sum, { byteLength }) => sum + byteLength, 0) + spare).fill(7);
      const allocate = (bytes: number) => {
        asked.push(bytes);
        return memory;
      };
      const outcomes = await readFiles(files, { folders: [root], allocate });
      assert.deepEqual(asked, [memory.byteLength - spare]);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.kind === 'read' && Buffer.from(outcome.bytes).toString('hex')),
        contents.map((bytes) => Buffer.from(bytes).toString('hex')),
      );
      assert.ok(outcomes.every((outcome) => outcome.kind === 'read' && outcome.bytes.buffer === memory.buffer));
      assert.ok(memory.subarray(memory.byteLength - spare).every((byte) => byte === 7));
    }),
    { numRuns: 50 },
  );
});

test('a file that cannot be read has a reason, and does not affect the others', async () => {
  const good = put(join(root, 'good'), Buffer.from('good'));
  const secret = put(join(outside, 'secret'), Buffer.from('secret'));
  symlinkSync(good.path, join(root, 'link-inside'));
  symlinkSync(secret.path, join(root, 'link-outside'));
  symlinkSync(join(root, 'loop'), join(root, 'loop'));
  execFileSync('mkfifo', [join(root, 'fifo')]);
  const of = (name: string, sizeBytes = 4) => ({ path: join(root, name), sizeBytes });
  const files = [
    good,
    secret,
    of('link-inside'),
    of('link-outside', 6),
    of('none'),
    of('loop'),
    of('.'),
    of('fifo'),
    of('good', 3),
    of('good', 5),
  ];
  const outcomes = await readFiles([...files, good], { folders: [join(base, 'other'), root] });
  assert.deepEqual(outcomes.map(shown), [
    'good',
    { kind: 'outside' },
    'good',
    { kind: 'outside' },
    { kind: 'failed', reason: 'ENOENT: no such file or directory' },
    { kind: 'failed', reason: 'ELOOP: too many symbolic links encountered' },
    // The folder itself is not a file inside it.
    { kind: 'outside' },
    { kind: 'failed', reason: 'EINVAL: invalid argument' },
    { kind: 'other_size', sizeBytes: 4 },
    { kind: 'other_size', sizeBytes: 4 },
    'good',
  ]);
  mkdirSync(join(root, 'folder'));
  const [folder, all] = [await readFiles([of('folder')], { folders: [root] }), await readFiles([secret], { folders: ['/'] })];
  assert.deepEqual(folder, [{ kind: 'failed', reason: 'EISDIR: illegal operation on a directory' }]);
  assert.deepEqual(all.map(shown), ['secret']);
});

test('too little memory is rejected before a byte is written; a signal ends the reading', async () => {
  const files = [put(join(root, 'a'), Buffer.from('aaaa')), put(join(root, 'b'), Buffer.from('bbbb'))];
  const memory = new Uint8Array(7);
  await assert.rejects(
    readFiles(files, { folders: [root], allocate: () => memory }),
    (error) => error instanceof TypeError && /memory/.test(error.message),
  );
  assert.deepEqual([...memory], [0, 0, 0, 0, 0, 0, 0]);
  const reason = new Error('gone');
  await assert.rejects(readFiles(files, { folders: [root], signal: AbortSignal.abort(reason) }), reason);
  const leaving = new AbortController();
  const reading = readFiles(files, { folders: [root], signal: leaving.signal });
  leaving.abort(reason);
  await assert.rejects(reading, reason);
});

test('a worker may end while files are read', async () => {
  const large = put(join(root, 'large'), Buffer.alloc(32 << 20, 1));
  const module = new URL('./files.ts', import.meta.url).href;
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import('tsx/esm/api').then(({ register }) => (register(), import(workerData.module))).then(({ readFiles }) => {
      for (let i = 0; i < 8; i++) readFiles([workerData.large, workerData.large], { folders: [workerData.root] }).catch(() => {});
      parentPort.postMessage('reading');
    });`;
  for (let round = 0; round < 3; round++) {
    const worker = new Worker(code, { eval: true, workerData: { module, large, root } });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
  }
  const [outcome] = await readFiles([large], { folders: [root] });
  assert.ok(outcome?.kind === 'read' && outcome.bytes.every((byte) => byte === 1));
});
