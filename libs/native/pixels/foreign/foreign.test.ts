/** The formats beside JPEG and PNG: equal to Pillow's pixels (hashes made with it), refused by name, never on the event loop. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { DecodeError, decode, FOREIGN_DECODERS, formatOf, readHeader, renderBatch } from '#native/pixels.js';
import { checkImage } from '../check-image.js';
import { isForeign } from './formats.js';
import { unpackLzw } from './lzw.js';

const folder = new URL('./test-data/', import.meta.url);
const file = (name: string) => new Uint8Array(readFileSync(new URL(name, folder)));
const expected = (
  JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8')) as {
    files: Record<string, { width: number; height: number; sha256: string }>;
  }
).files;

test('every file shows what Pillow shows: WebP, GIF, BMP, TIFF, PBM, PGM and PPM of many kinds', async () => {
  assert.ok(Object.keys(expected).length >= 60);
  const kinds = new Map<string, number>();
  for (const [name, { width, height, sha256 }] of Object.entries(expected)) {
    const bytes = file(name);
    const header = readHeader(bytes);
    assert.deepEqual([header.width, header.height], [width, height], name);
    const { rgb } = await decode({ ...header, bytes });
    assert.equal(createHash('sha256').update(rgb).digest('hex'), sha256, name);
    kinds.set(header.format, (kinds.get(header.format) ?? 0) + 1);
  }
  for (const format of ['webp', 'gif', 'bmp', 'tiff', 'netpbm']) assert.ok((kinds.get(format) ?? 0) >= 6, format);
});

test('the decoders are those whose pixels the version of the semantics stands for', () => {
  const require = createRequire(import.meta.url);
  for (const [name, version] of Object.entries(FOREIGN_DECODERS)) {
    const path = require.resolve(name).replace(/(.*node_modules\/(?:@[^/]+\/)?[^/]+).*/, '$1/package.json');
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).version, version, name);
  }
});

test('files that are cut or damaged are refused with a reason, and rendering goes on beside them', async () => {
  const plan = {
    geometry: { kind: 'warp', interpolation: 'bilinear' } as const,
    flip: false,
    ops: [],
    fill: [0, 0, 0] as [number, number, number],
  };
  const whole = file('lossless.webp');
  const cut = Object.keys(expected)
    .map((name) => ({ name, bytes: file(name) }))
    .map(({ name, bytes }) => ({ name, bytes: bytes.subarray(0, Math.floor(bytes.length * 0.4)) }));
  const jobs = [
    ...cut.map(({ bytes }) => ({ source: { format: formatOf(bytes), bytes, width: 0, height: 0 }, plan })),
    { source: { format: 'webp' as const, bytes: whole, width: 31, height: 23 }, plan },
  ];
  const outcomes = await renderBatch(jobs, 4, new Uint8Array(jobs.length * 48));
  assert.ok(outcomes.at(-1)?.ok);
  const refused = outcomes.filter((outcome) => !outcome.ok);
  assert.ok(refused.length > cut.length / 2, `${refused.length} of ${cut.length}`);
  for (const outcome of refused) assert.ok(!outcome.ok && outcome.reason.length > 5);
});

test('sizes are checked before anything is decoded', async () => {
  const bytes = file('rgb.bmp').slice();
  new DataView(bytes.buffer).setInt32(18, 60_000, true);
  new DataView(bytes.buffer).setInt32(22, 60_000, true);
  await assert.rejects(
    decode({ format: 'bmp', bytes, width: 0, height: 0 }),
    (error) => error instanceof DecodeError && /60000 x 60000/.test(error.message),
  );
  await assert.rejects(decode({ format: 'gif', bytes: file('pal.gif'), width: 9, height: 9 }), /declared 9 x 9/);
  await assert.rejects(decode({ format: 'gif', bytes: file('rgb.ppm'), width: 0, height: 0 }), /it is no gif/);
});

test('a TIFF whose packed pieces cannot be bounded is refused, and one that holds JPEGs is read', async () => {
  await assert.rejects(decode({ ...readHeader(file('g4.tif')), bytes: file('g4.tif') }), /tiff of compression 4/);
  const bytes = file('jpeg.tif');
  const { rgb } = await decode({ ...readHeader(bytes), bytes });
  const { width, height } = readHeader(bytes);
  assert.equal(rgb.length, 3 * width * height);
});

test('a TIFF that holds a JPEG of gray shows gray, from white or from black; JPEGs of other colours are refused', async () => {
  const bytes = file('gray-jpeg.tif');
  // The first row as Pillow 13.0.0 shows it: decoders of JPEG may differ by one or two.
  const expectedRow = [208, 125, 117, 177, 77, 106, 92, 92, 122, 165, 131, 93, 103, 202, 85, 171, 141, 174, 125, 146, 194];
  const firstRow = async (of: Uint8Array) => [...(await decode({ ...readHeader(of), bytes: of })).rgb].slice(0, 3 * expectedRow.length);
  const close = (row: number[], expected: number[]) => row.every((value, i) => Math.abs(value - expected[Math.floor(i / 3)]!) <= 2);
  assert.ok(close(await firstRow(bytes), expectedRow));
  const photometric = (value: number) => {
    const changed = bytes.slice();
    const view = new DataView(changed.buffer);
    const directory = view.getUint32(4, true);
    for (let at = directory + 2; at < directory + 2 + 12 * view.getUint16(directory, true); at += 12)
      if (view.getUint16(at, true) === 262) view.setUint16(at + 8, value, true);
    return changed;
  };
  assert.ok(
    close(
      await firstRow(photometric(0)),
      expectedRow.map((value) => 255 - value),
    ),
  );
  for (const value of [3, 5, 8]) {
    assert.throws(() => checkImage(photometric(value)), /tiff of JPEGs with photometric interpretation/);
    await assert.rejects(firstRow(photometric(value)), /tiff of JPEGs with photometric interpretation/);
  }
});

test('damaged codes of LZW end: with an error, or with as many bytes as are wanted', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(5000), fc.boolean(), (codes, length, tiff) => {
      try {
        const form = tiff ? ({ format: 'tiff', highFirst: true } as const) : ({ format: 'gif', highFirst: false } as const);
        assert.equal(unpackLzw(codes, length, { ...form, symbolBits: 8 }).length, length);
      } catch (error) {
        assert.match((error as Error).message, /damaged codes|ends inside its pixels/);
      }
    }),
  );
});

test('the event loop turns while an image is decoded', async () => {
  const side = 2000;
  const large = Buffer.concat([Buffer.from(`P6 ${side} ${side} 254\n`), Buffer.alloc(3 * side * side, 100)]);
  let turns = 0;
  const ticking = setInterval(() => turns++, 1);
  try {
    const { rgb } = await decode({ format: 'netpbm', bytes: large, width: side, height: side });
    assert.equal(rgb.length, 3 * side * side);
  } finally {
    clearInterval(ticking);
  }
  assert.ok(turns > 2, `${turns} turns`);
});

test('every file of the folder is held against a hash', () => {
  for (const name of readdirSync(folder))
    if (!['expected.json', 'jpeg.tif', 'gray-jpeg.tif', 'g4.tif'].includes(name)) assert.ok(expected[name], name);
  assert.ok(isForeign(formatOf(file('jpeg.tif'))));
});
