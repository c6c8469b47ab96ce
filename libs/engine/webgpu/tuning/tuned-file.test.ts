import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { NotATuningFile, readTuned, storeTuned, type TuningKey, tuningFile } from './tuned-file.js';

const folder = mkdtempSync(join(tmpdir(), 'tuned-file-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const key: TuningKey = { adapter: 'Abacus 1', driver: 'beads 2.0', dawn: '0.6.2', kernels: 'ab12' };
const tiles = { 'linear.fp32': '128x64x16@128' } as const;
const at = new Date('2026-11-29T10:00:00Z');

test('choices are stored beside those of other adapters, whole and for the user alone', async () => {
  const path = join(folder, 'new', 'folder', 'gpu-tuning.json');
  assert.deepEqual(readTuned(path), []);
  await storeTuned(path, key, tiles, at);
  const other = { ...key, driver: 'beads 3.0' };
  await storeTuned(path, other, { 'linear.bf16': '32x32x16@64' }, at);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
  const first = { ...key, tunedAt: at.toISOString(), tiles };
  const second = { ...other, tunedAt: at.toISOString(), tiles: { 'linear.bf16': '32x32x16@64' } };
  assert.deepEqual(readTuned(path), [first, second]);
  await storeTuned(path, key, {}, at);
  assert.deepEqual(readTuned(path), [second, { ...first, tiles: {} }]);
  await storeTuned(path, key, undefined);
  assert.deepEqual(readTuned(path), [second]);
  assert.deepEqual(readdirSync(dirname(path)), ['gpu-tuning.json'], 'no draft is left');
});

test('a file keeps a bounded number of adapters, those that were tuned last', async () => {
  const path = join(folder, 'many.json');
  for (let k = 0; k < 70; k++) await storeTuned(path, { ...key, adapter: `Abacus ${k}` }, tiles, at);
  const names = readTuned(path).map(({ adapter }) => adapter);
  assert.deepEqual([names.length, names[0], names.at(-1)], [64, 'Abacus 6', 'Abacus 69']);
});

const whole = { format: 'dropstream.gpu-tuning.v1', adapters: [{ ...key, tunedAt: at.toISOString(), tiles }] };
const bad: readonly [what: string, text: string, reason: RegExp][] = [
  ['cut short', JSON.stringify(whole).slice(0, -9), /it is not JSON/],
  ['empty', '', /it is not JSON/],
  ['a thesis', '{"title": "On tiles"}', /it has no format/],
  ['of another version', JSON.stringify({ ...whole, format: 'dropstream.gpu-tuning.v2' }), /its format is "dropstream.gpu-tuning.v2"/],
  ['without adapters', JSON.stringify({ format: whole.format }), /it has no list of adapters/],
  ['with half an adapter', JSON.stringify({ ...whole, adapters: [...whole.adapters, { adapter: 'x' }] }), /its adapter 1 lacks a field/],
  ['with tiles that are no names', JSON.stringify({ ...whole, adapters: [{ ...whole.adapters[0], tiles: { a: 1 } }] }), /adapter 0 lacks/],
  ['huge', JSON.stringify({ ...whole, more: 'x'.repeat(300_000) }), /it has \d+ bytes, at most 262144 are read/],
];

for (const [what, text, reason] of bad)
  test(`a file that is ${what} is named with the reason, and never overwritten`, async () => {
    const path = join(folder, 'bad.json');
    writeFileSync(path, text);
    const refused = (error: Error) => error instanceof NotATuningFile && error.message.includes(path) && reason.test(error.reason);
    assert.throws(() => readTuned(path), refused);
    await assert.rejects(storeTuned(path, key, tiles), refused);
    assert.equal(readFileSync(path, 'utf8'), text);
  });

test('a folder in the place of the file is refused', () => {
  const path = join(folder, 'a-folder');
  mkdirSync(path);
  assert.throws(() => readTuned(path), /it is a folder/);
});

test('the file is where the user says, otherwise in the cache folder', () => {
  assert.equal(tuningFile({ DROPSTREAM_GPU_TUNING: '/a/b.json', XDG_CACHE_HOME: '/cache' }), '/a/b.json');
  assert.equal(tuningFile({ DROPSTREAM_GPU_TUNING: 'none' }), undefined);
  assert.equal(tuningFile({ XDG_CACHE_HOME: '/cache' }), '/cache/dropstream/gpu-tuning.json');
  assert.match(tuningFile({ XDG_CACHE_HOME: 'relative' })!, /\/\.cache\/dropstream\/gpu-tuning\.json$/);
});
