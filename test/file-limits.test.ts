/** The table "Limits of files" of THREATS.md: files that ask for more than they may get are refused by what they say, before they get it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { InvalidTar, tarMembers } from '#data/datasets/tar.js';
import { bytesSource } from '#interchange/byte-source.js';
import { PthError } from '#interchange/pth/pth-error.js';
import { readPickle } from '#interchange/pth/read-pickle.js';
import { openPth } from '#interchange/pth/read-pth.js';
import { checkImage } from '#native/pixels/check-image.js';
import { inflateScanlines, readPngLayout } from '#native/pixels/png-scanlines.js';
import { decodeSafetensors, SafetensorsError } from '#storage/safetensors.js';
import { zip } from './support/pth-writer.js';
import { writeIdx } from './support/sample-datasets.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-limits-'));
after(() => rmSync(folder, { recursive: true }));

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

function png(width: number, height: number, ...chunks: readonly (readonly [string, Buffer])[]): Buffer {
  const header = Buffer.concat([u32(width), u32(height), Buffer.from([8, 0, 0, 0, 0])]);
  // Checksums are not looked at.
  const chunk = (type: string, body: Buffer): Buffer => Buffer.concat([u32(body.length), Buffer.from(type), body, u32(0)]);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    ...chunks.map(([type, body]) => chunk(type, body)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** 256 MiB of zeros in 260 KiB. */
const bomb = deflateSync(Buffer.alloc(256 << 20), { level: 9 });

test('images whose headers claim too many pixels', () => {
  const gif = Buffer.concat([Buffer.from('GIF89a'), Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0])]);
  const bmp = Buffer.alloc(54);
  bmp.write('BM');
  bmp.writeUInt32LE(40, 14);
  bmp.writeInt32LE(0x7fffffff, 18);
  bmp.writeInt32LE(-0x80000000, 22);
  const tiff = Buffer.from('49492a00080000000200000104000100000000ffff0f01010400010000000000ff0f00000000', 'hex');
  const webp = Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBPVP8X\n\0\0\0\0\0\0\0', 'latin1'), Buffer.alloc(6, 0xff)]);
  const jpeg = Buffer.from('ffd8ffc0001108ffffffff03012200021101031101ffd9', 'hex');
  for (const [name, file] of Object.entries({
    png: png(65_535, 65_535, ['IDAT', Buffer.from([1])]),
    'png beyond a side': png(0x7fffffff, 1, ['IDAT', Buffer.from([1])]),
    ...{ gif, bmp, tiff, webp, jpeg },
    netpbm: Buffer.from('P6\n999999 999999\n255\n'),
  }))
    assert.throws(() => checkImage(file), /pixels/, name);
});

test('PNG: more than the header says is not inflated, and compressed texts and profiles are passed over', async () => {
  const small = png(
    8,
    8,
    ['zTXt', Buffer.concat([Buffer.from('k\0\0'), bomb])],
    ['iCCP', Buffer.concat([Buffer.from('p\0\0'), bomb])],
    ['IDAT', bomb],
  );
  assert.equal((await inflateScanlines(readPngLayout(small))).byteLength, 8 * 9);
  assert.throws(() => readPngLayout(png(60_000, 1000, ['IDAT', bomb]).fill(6, 25, 26).fill(16, 24, 25)), /bytes inflated: at most/);
});

test('.gz: no further than the header inside declares, in one member or in many', async () => {
  const root = join(folder, 'idx');
  mkdirSync(root);
  writeIdx(root, { count: 4, side: 8 });
  const roots = await AllowedRoots.open([root]);
  const header = Buffer.concat([Buffer.from([0, 0, 8, 3]), u32(4), u32(8), u32(8)]);
  const zeros = gzipSync(Buffer.alloc(64 << 20), { level: 9 });
  for (const [name, packed] of [
    ['one member', gzipSync(Buffer.concat([header, Buffer.alloc(256 << 20)]), { level: 9 })],
    ['many members', Buffer.concat([gzipSync(header), ...Array.from({ length: 64 }, () => zeros)])],
  ] as const) {
    rmSync(join(root, 'train-images-idx3-ubyte'), { force: true });
    writeFileSync(join(root, 'train-images-idx3-ubyte.gz'), packed);
    await assert.rejects(indexDataset(roots, root, { split: 'train' }), /unpacks to the 272 bytes that its header declares/, name);
  }
});

test('tar: sizes that are not there, long headers, and names that lead elsewhere', async () => {
  const block = (name: string, size: string | Buffer, type: string): Buffer => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    (typeof size === 'string' ? Buffer.from(size) : size).copy(header, 124);
    header.write(type, 156);
    header.write('ustar\x0000', 257, 'latin1');
    header.fill(0x20, 148, 156);
    header.write(
      header
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0'),
      148,
    );
    header[154] = 0;
    return header;
  };
  const read = async (archive: Buffer) => {
    const members = [];
    for await (const member of tarMembers({ sizeBytes: archive.length, read: async (at, length) => archive.subarray(at, at + length) }))
      members.push(member);
    return members;
  };
  const huge = Buffer.alloc(12, 0xff);
  huge[0] = 0x80;
  const pax = Buffer.alloc(512);
  pax.write('30 size=9007199254740993000000\n');
  for (const [name, archive] of Object.entries({
    'base 256': block('a', huge, '0'),
    octal: block('a', '77777777777', '0'),
    'a size in a pax header': Buffer.concat([block('x', '00000000036', 'x'), pax, block('a', '00000000000', '0')]),
    'a pax header that is too long': Buffer.concat([block('x', '00010000000', 'x'), Buffer.alloc(8 ** 7)]),
    'a name that is too long': Buffer.concat([block('x', '00010000000', 'L'), Buffer.alloc(8 ** 7)]),
  }))
    await assert.rejects(read(archive), InvalidTar, name);
  const links = Buffer.concat([block('../../x', '77777777777', '2'), block('/etc/passwd', '77777777777', '1'), Buffer.alloc(1024)]);
  assert.deepEqual(
    (await read(links)).map(({ isLink, sizeBytes }) => [isLink, sizeBytes]),
    [
      [true, 0],
      [true, 0],
    ],
  );

  // Names are keys of samples and names of classes: nothing is written where they point.
  const root = join(folder, 'slip', 'inside');
  mkdirSync(root, { recursive: true });
  const jpeg = readFileSync(new URL('./fuzz/corpus/tiny.jpg', import.meta.url));
  const size = jpeg.length.toString(8).padStart(11, '0');
  const padded = Buffer.concat([jpeg, Buffer.alloc((512 - (jpeg.length % 512)) % 512)]);
  const sample = (key: string): Buffer =>
    Buffer.concat([
      block(`${key}.jpg`, size, '0'),
      padded,
      block(`${key}.cls`, '00000000001', '0'),
      Buffer.alloc(512, '0', 'latin1').fill(0, 1),
    ]);
  writeFileSync(join(root, 'a.tar'), Buffer.concat([sample('../../out'), sample('/tmp/out'), sample('ok'), Buffer.alloc(1024)]));
  const indexed = await indexDataset(await AllowedRoots.open([root]), root, { split: '' });
  assert.ok(indexed.samples >= 1);
  assert.deepEqual(readdirSync(join(folder, 'slip')), ['inside']);
});

test('safetensors: headers of any length, tensors that overlap, leave gaps or are not there', () => {
  const file = (length: bigint, header: string, data = 0): Buffer => {
    const head = Buffer.alloc(8);
    head.writeBigUInt64LE(length);
    return Buffer.concat([head, Buffer.from(header), Buffer.alloc(data)]);
  };
  const whole = (header: string, data: number): Buffer => file(BigInt(header.length), header, data);
  const tensor = (name: string, from: number, to: number, shape = `[${(to - from) / 4}]`): string =>
    `"${name}":{"dtype":"F32","shape":${shape},"data_offsets":[${from},${to}]}`;
  for (const [name, bytes] of Object.entries({
    'a header beyond the file': file(1000n, '{}'),
    'a header beyond the limit': file(100_000_001n, '{}'),
    'a header of 2^64': file(2n ** 64n - 1n, '{}'),
    overlapping: whole(`{${tensor('a', 0, 8)},${tensor('b', 4, 12)}}`, 12),
    twice: whole(`{${tensor('a', 0, 8)},${tensor('b', 0, 8)}}`, 8),
    'a gap': whole(`{${tensor('a', 0, 4)},${tensor('b', 8, 12)}}`, 12),
    beyond: whole(`{${tensor('a', 0, 400)}}`, 8),
    backwards: whole(`{${tensor('a', 8, 4, '[1]')}}`, 8),
    'a shape of 2^80': whole(`{${tensor('a', 0, 4, '[1099511627776,1099511627776]')}}`, 4),
    'a negative shape': whole(`{${tensor('a', 0, 4, '[-1]')}}`, 4),
    'the same name twice': whole(`{${tensor('a', 0, 4)},${tensor('a', 4, 8)}}`, 8),
  }))
    assert.throws(() => decodeSafetensors(bytes), SafetensorsError, name);
});

const op = (...codes: number[]): Buffer => Buffer.from(codes);
const [PROTO, STOP, NONE, POP, MARK] = [op(0x80, 2), op(0x2e), op(0x4e), op(0x30), op(0x28)];
const global = (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`);
const text = (value: string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(Buffer.byteLength(value));
  return Buffer.concat([op(0x58), length, Buffer.from(value)]);
};
const [put, get] = [(slot: number): Buffer => op(0x71, slot), (slot: number): Buffer => op(0x68, slot)];

test('pickle: opcodes, depth, memo, and values that are used again and again', async () => {
  const repeated = (times: number, part: Buffer): Buffer => Buffer.concat(Array.from({ length: times }, () => part));
  const megabyte = Buffer.concat([text('x'.repeat(1 << 20)), put(0), POP, text('latin1'), put(1), POP]);
  const encode = Buffer.concat([global('_codecs', 'encode'), get(0), get(1), op(0x86), op(0x52)]);
  const list = Buffer.concat([op(0x5d), put(2), MARK, repeated(100_000, NONE), op(0x65), POP]);
  const dict = Buffer.concat([global('collections', 'OrderedDict'), get(2), op(0x85), op(0x52), POP]);
  const settings = Buffer.concat([
    ...[op(0x7d), put(3), MARK],
    ...Array.from({ length: 50_000 }, (_, i) => Buffer.concat([op(0x4a, i & 255, i >> 8, 1, 0), NONE])),
    ...[op(0x75), POP],
  ]);
  const build = Buffer.concat([global('argparse', 'Namespace'), op(0x29), op(0x81), get(3), op(0x62), POP]);
  for (const [name, bytes, why] of [
    ['opcodes', Buffer.concat([PROTO, repeated(2_000_001, Buffer.concat([NONE, POP])), NONE, STOP]), /more than 4000000 opcodes/],
    ['marks', Buffer.concat([PROTO, repeated(1_000_000, MARK), NONE, STOP]), /it ends with/],
    ['a memo that is empty', Buffer.concat([PROTO, op(0x6a, 255, 255, 255, 127), STOP]), /memo 2147483647 is empty/],
    ['a stack that is empty', Buffer.concat([PROTO, POP, STOP]), /too few values/],
    ['bytes made again', Buffer.concat([PROTO, megabyte, repeated(10_000, Buffer.concat([encode, POP])), NONE, STOP]), /again and again/],
    ['a dict made again', Buffer.concat([PROTO, list, repeated(50_000, dict), NONE, STOP]), /again and again/],
    ['a state used again', Buffer.concat([PROTO, settings, repeated(50_000, build), NONE, STOP]), /again and again/],
    ['an integer of many bytes', Buffer.concat([PROTO, op(0x8b, 255, 255, 255, 127), STOP]), /an integer of/],
    ['a text beyond the file', Buffer.concat([PROTO, op(0x58, 255, 255, 255, 255), STOP]), /ends in the middle/],
  ] as const)
    assert.throws(
      () => readPickle(bytes),
      (error) => error instanceof PthError && why.test(error.message),
      name,
    );
  // A list that holds itself many times over is as small as it is written.
  const doubled = Buffer.concat([
    PROTO,
    op(0x5d),
    ...Array.from({ length: 60 }, (_, i) => Buffer.concat([put(i), get(i), op(0x86)])),
    STOP,
  ]);
  readPickle(doubled);
});

test('zip: entries that are packed, and directories that claim more than is there', async () => {
  const pickled = Buffer.concat([PROTO, NONE, STOP]);
  const file = zip([['a/data.pkl', pickled]]);
  const at = file.lastIndexOf(Buffer.from('504b0506', 'hex'));
  const changed = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(file);
    change(bytes);
    return bytes;
  };
  for (const [name, bytes] of Object.entries({
    'entries that are not there': changed((bytes) => bytes.writeUInt16LE(0xfffe, at + 10)),
    'a directory beyond the file': changed((bytes) => bytes.writeUInt32LE(0x7fffffff, at + 12)),
    'zip64 without its record': changed((bytes) => bytes.writeUInt32LE(0xffffffff, at + 16)),
    packed: changed((bytes) => bytes.writeUInt16LE(8, bytes.indexOf(Buffer.from('504b0102', 'hex')) + 10)),
  }))
    await assert.rejects(openPth(bytesSource(bytes)), PthError, name);
});
