// `dropstream store check` on a store that real services wrote: whole as it is, over a folder and over MinIO. The other tests of this folder damage it.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openStore } from '#storage/open-store.js';
import { type RunningMinio, startMinio } from '../../../test/support/minio.js';
import { runCommandLine } from '../../../test/support/run-command-line.js';
import { checkStore, WrittenStore } from '../../../test/support/written-store.js';

const started = await startMinio();
const noMinio = 'skip' in started ? started.skip : false;
const minio = started as RunningMinio;
after(() => (noMinio ? undefined : minio.stop()));

let written: WrittenStore;
before(async () => {
  written = await WrittenStore.make();
});
after(() => written.close());

const cli = (...argv: string[]) => runCommandLine(argv, { cwd: tmpdir() });

test('the store that services wrote is whole, deep and not, and checking changes nothing', async () => {
  const copy = await written.copy();
  // The scheduler leaves it where there are many schedules.
  await copy.write('projects/p/none-of-01/schedules', '{}');
  const before = await readdir(copy.folder, { recursive: true });
  for (const argv of [[], ['--deep'], ['--repair']]) {
    const { code, whole, findings, objects } = await checkStore(copy.folder, argv);
    assert.deepEqual(findings, []);
    assert.deepEqual([code, whole], [0, true]);
    assert.ok(objects > 20);
  }
  assert.deepEqual((await readdir(copy.folder, { recursive: true })).sort(), before.sort());
});

test('a checkpoint of a later step than the log names is never deleted: its record may be what was lost', async () => {
  const copy = await written.copy();
  const keys = await copy.keys(`${copy.run}/log/`);
  const records = await Promise.all(keys.map(async (key) => JSON.parse((await copy.read(key)).toString()) as { kind: string }));
  const last = records.findLastIndex(({ kind }) => kind === 'checkpoint');
  for (const key of keys.slice(last)) await copy.delete(key);
  // A pin would protect the checkpoint anyway.
  for (const key of await copy.keys('/checkpoint-pins/')) await copy.delete(key);
  const folder = await copy.newestCheckpoint();
  const { code, findings } = await checkStore(copy.folder, ['--repair']);
  assert.equal(code, 1);
  const told = findings.filter(({ where }) => where.startsWith(folder));
  assert.ok(told.length > 0 && told.every(({ repaired }) => repaired === undefined), JSON.stringify(findings));
  assert.ok((await copy.keys(`${folder}/`)).length >= 2);
});

test('what is younger than the grace period is left alone', async () => {
  const copy = await written.copy();
  await copy.write(`${copy.run}/checkpoints/000000000002-abcdef01/weights.0123456789abcdef.safetensors`, 'x');
  await copy.write(`${copy.run}/log/.tmp-1-x`, 'half');
  await copy.write(`${copy.run}/heartbeats/000000000002`, '{}');
  const { code, findings } = await checkStore(copy.folder, ['--repair', '--grace-hours', '1']);
  assert.deepEqual([code, findings.map(({ kind }) => kind)], [0, ['in-progress', 'in-progress', 'in-progress']]);
  assert.ok((await copy.keys()).some((key) => key.includes('abcdef01')));
});

test('it prints a table, and says what is wrong with its options and with a store that is not there', async () => {
  const copy = await written.copy();
  await copy.delete(copy.record(3));
  const { code, out, err } = await cli('store', 'check', '--store', copy.folder);
  assert.equal(code, 1);
  assert.match(out, /^FINDING +WHERE +WHAT +THEN$/m);
  assert.match(out, new RegExp(`^record-missing +${copy.record(3)} +the log goes on with 000000000004 +restore`, 'm'));
  assert.match(err, /is not whole/);
  assert.equal((await cli('store', 'check', '--store', copy.folder, '--grace-hours', 'x')).code, 2);
  assert.equal((await cli('store', 'check', '--stor')).code, 2);
  const gone = join(copy.folder, 'gone');
  assert.notEqual((await cli('store', 'check', '--store', gone)).code, 0);
  assert.ok(!(await readdir(copy.folder)).includes('gone'), 'checking makes no folder');
});

test('over MinIO: whole, damaged, repaired', { skip: noMinio }, async () => {
  const uri = await minio.createBucket('checked', 'some/prefix');
  const store = await openStore(uri, { env: minio.env });
  const copy = await written.copy();
  for (const key of await copy.keys()) await store.put(key, await copy.read(key));
  const whole = await checkStore(uri, [], minio.env);
  assert.deepEqual([whole.code, whole.findings], [0, []]);
  await store.delete(copy.record(3));
  await store.put(`${copy.run}/checkpoints/000000000002-abcdef01/weights.0123456789abcdef.safetensors`, Buffer.from('x'));
  await store.put(`${copy.run}/heartbeats/000000000002`, Buffer.from('{}'));
  const damaged = await checkStore(uri, ['--repair'], minio.env);
  assert.equal(damaged.code, 1);
  assert.deepEqual(
    damaged.findings.map(({ kind, repaired }) => [kind, repaired]).sort(([a], [b]) => (a! < b! ? 1 : -1)),
    [
      ['record-missing', undefined],
      ['parts-orphaned', 'deleted'],
    ],
    'with a hole in its log, nothing is said about the lease',
  );
  await store.close();
});
