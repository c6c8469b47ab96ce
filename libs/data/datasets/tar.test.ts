import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { header, paxRecord, sealed, type TarFile, tarBytes } from '../../../test/support/tar-writer.js';
import { InvalidTar, parseTarHeader, paxRecords, tarMembers, tarNumber } from './tar.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-tar-'));
after(() => rmSync(base, { recursive: true, force: true }));

/** As a file gives it: a read past the end is a mistake of the parser. */
const archive = (bytes: Uint8Array) => ({
  sizeBytes: bytes.byteLength,
  read: async (offset: number, length: number) => {
    assert.ok(offset >= 0 && length >= 0 && offset + length <= bytes.byteLength, `${length} bytes at ${offset}`);
    return bytes.subarray(offset, offset + length);
  },
});
async function list(bytes: Uint8Array) {
  const members = [];
  for await (const member of tarMembers(archive(bytes))) members.push(member);
  return members;
}
const contents = async (bytes: Uint8Array) =>
  (await list(bytes))
    .filter(({ isLink }) => !isLink)
    .map(({ name, offset, sizeBytes }) => [name, Buffer.from(bytes.subarray(offset, offset + sizeBytes)).toString('latin1')]);

test('files of every flavour, with long names in each of the three ways', async () => {
  const long = `${'folder/'.repeat(20)}image.jpg`;
  const files: TarFile[] = [
    { name: './a.jpg', bytes: Buffer.from('one') },
    { name: 'folder/', type: '5' },
    { name: 'link', type: '2' },
    { name: long, bytes: Buffer.alloc(700, 'x') },
    { name: 'empty' },
    { name: 'dög.png', bytes: Buffer.alloc(512, 'y') },
  ];
  const expected = [
    ['a.jpg', 'one'],
    [long, 'x'.repeat(700)],
    ['empty', ''],
    ['dög.png', 'y'.repeat(512)],
  ];
  for (const flavour of ['ustar', 'gnu', 'pax'] as const) assert.deepEqual(await contents(tarBytes(files, flavour)), expected, flavour);
  // Without the zeros at the end, and with bytes after them.
  const whole = tarBytes(files);
  assert.deepEqual(await contents(whole.subarray(0, -1024)), expected);
  assert.deepEqual(await contents(Buffer.concat([whole, Buffer.alloc(3000, 7)])), expected);
});

test('what tar and Python write is read', async (t) => {
  const names = ['a.jpg', `${'deep/'.repeat(30)}b.png`, `${'c'.repeat(180)}.cls`];
  for (const name of names) {
    mkdirSync(join(base, 'in', dirname(name)), { recursive: true });
    writeFileSync(join(base, 'in', name), `content of ${name}`);
  }
  const expected = names.map((name) => [name, `content of ${name}`]);
  const formats = [];
  if (spawnSync('tar', ['--version']).status === 0) {
    for (const format of ['gnu', 'pax']) {
      execFileSync('tar', [`--format=${format}`, '-cf', join(base, `tar-${format}.tar`), '-C', join(base, 'in'), ...names]);
      formats.push(`tar-${format}`);
    }
  } else t.diagnostic('there is no tar');
  if (spawnSync('python3', ['--version']).status === 0) {
    for (const format of ['GNU', 'PAX']) {
      const code = `import sys,tarfile\nt=tarfile.open(sys.argv[1],'w',format=tarfile.${format}_FORMAT)\nfor n in sys.argv[3:]: t.add(sys.argv[2]+'/'+n,n)\nt.close()`;
      execFileSync('python3', ['-c', code, join(base, `python-${format}.tar`), join(base, 'in'), ...names]);
      formats.push(`python-${format}`);
    }
  } else t.diagnostic('there is no python3');
  for (const format of formats) assert.deepEqual(await contents(readFileSync(join(base, `${format}.tar`))), expected, format);
});

test('sizes beyond octal, and hostile ones', async () => {
  assert.equal(tarNumber(Buffer.from('00000001750\0')), 1000);
  assert.equal(tarNumber(Buffer.from('    1750 \0\0\0')), 1000);
  assert.equal(tarNumber(Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1])), 2 ** 33 + 1);
  for (const field of [Buffer.alloc(12, 0xff), Buffer.from([0x80, ...new Array<number>(11).fill(0xff)]), Buffer.from('12x45678901\0')])
    assert.equal(tarNumber(field), undefined);
  const huge = header('a', 0);
  huge.set([0x80, 0, 0, 0, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 124);
  await assert.rejects(list(Buffer.concat([sealed(huge), Buffer.alloc(1024)])), /more than are left/);
  const pax = (records: string, type = 'x') =>
    Buffer.concat([
      tarBytes([
        { name: 'p', bytes: Buffer.from(records), type },
        { name: 'a', bytes: Buffer.from('12') },
      ]),
    ]);
  assert.deepEqual(await contents(pax(paxRecord('path', 'b') + paxRecord('size', '1'))), [['b', '1']]);
  await assert.rejects(list(pax(paxRecord('size', '9007199254740993'))), InvalidTar);
  await assert.rejects(list(pax(paxRecord('size', '-1'))), InvalidTar);
  await assert.rejects(list(pax(paxRecord('size', '99999'))), /more than are left/);
  await assert.rejects(list(pax(paxRecord('GNU.sparse.major', '1'))), /sparse/);
  await assert.rejects(list(pax('99999 path=x\n')), /no whole record/);
  await assert.rejects(list(pax('3 x')), /no whole record/);
  await assert.rejects(list(tarBytes([{ name: 's', type: 'S' }])), /sparse/);
  await assert.rejects(
    list(Buffer.concat([header('long', 2 << 20, 'L'), Buffer.alloc(2 << 20)])),
    /extended header at byte 0 has 2097152 bytes/,
  );
  assert.deepEqual(
    [...paxRecords(Buffer.from(paxRecord('a', 'x=y\nz') + paxRecord('b', '')))],
    [
      ['a', 'x=y\nz'],
      ['b', ''],
    ],
  );
});

test('damaged archives are refused, never misread: every cut, and ten thousand changes', async () => {
  const files = [
    { name: `${'long/'.repeat(30)}a.jpg`, bytes: Buffer.alloc(100, 1) },
    { name: 'b.cls', bytes: Buffer.from('7') },
    { name: 'c.png', bytes: Buffer.alloc(600, 2) },
  ];
  const wholes = (['gnu', 'pax', 'ustar'] as const).map((flavour) => tarBytes(files, flavour));
  const reads = async (bytes: Uint8Array) => {
    try {
      for (const { offset, sizeBytes } of await list(bytes)) assert.ok(offset % 512 === 0 && offset + sizeBytes <= bytes.byteLength);
    } catch (error) {
      assert.ok(error instanceof InvalidTar, String(error));
    }
  };
  for (const whole of wholes)
    for (let length = 0; length < whole.byteLength; length += 37) {
      await reads(whole.subarray(0, length));
    }
  // A changed header has another checksum; with the checksum made right again, the fields themselves are attacked.
  const changed = fc
    .record({
      whole: fc.constantFrom(...wholes),
      block: fc.nat(8),
      changes: fc.array(fc.tuple(fc.oneof(fc.integer({ min: 124, max: 135 }), fc.constant(156), fc.nat(511)), fc.nat(255)), {
        minLength: 1,
        maxLength: 5,
      }),
      seal: fc.boolean(),
    })
    .map(({ whole, block, changes, seal }) => {
      const bytes = Buffer.from(whole);
      const at = 512 * (block % (bytes.byteLength / 512));
      for (const [offset, value] of changes) bytes[at + offset] = value;
      if (seal) sealed(bytes.subarray(at, at + 512));
      return bytes;
    });
  await fc.assert(fc.asyncProperty(changed, reads), { numRuns: 10_000 });
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), reads), { numRuns: 300 });
  assert.equal(parseTarHeader(new Uint8Array(512), 0), undefined);
});

test('any files come back as they were written', async () => {
  const anyName = fc.array(fc.stringMatching(/^[a-zA-Zäöü0-9 ._-]{1,40}$/), { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'));
  const usable = anyName.filter((name) => !name.startsWith('./') && name !== '.');
  const anyFiles = fc.array(fc.record({ name: usable, bytes: fc.uint8Array({ maxLength: 1500 }) }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(anyFiles, fc.constantFrom('gnu' as const, 'pax' as const), async (files, flavour) => {
      const expected = files.map(({ name, bytes }) => [name, Buffer.from(bytes).toString('latin1')]);
      assert.deepEqual(await contents(tarBytes(files, flavour)), expected);
    }),
    { numRuns: 200 },
  );
});
