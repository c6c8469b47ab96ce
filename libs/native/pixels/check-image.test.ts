/** What indexing refuses without decoding: never a file that decodes, and as many as can be known of those that do not. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { decode, formatOf } from '#native/pixels.js';
import { checkImage } from './check-image.js';
import { hasJpegEnd } from './jpeg-end.js';

const corpus = new URL('../../../test/fuzz/corpus/', import.meta.url);
const foreign = new URL('./foreign/test-data/', import.meta.url);
const jpegs = readdirSync(corpus)
  .filter((name) => name.endsWith('.jpg'))
  .map((name) => ({ name, bytes: readFileSync(new URL(name, corpus)) }));
const others = readdirSync(foreign)
  .filter((name) => name !== 'expected.json')
  .map((name) => ({ name, bytes: readFileSync(new URL(name, foreign)) }));
const of = (name: string) => others.find((file) => file.name === name)?.bytes as Buffer;

const segment = (marker: number, body: Buffer) => {
  const head = Buffer.from([0xff, marker, 0, 0]);
  head.writeUInt16BE(body.length + 2, 2);
  return Buffer.concat([head, body]);
};
const behindStart = (file: Buffer, ...parts: Buffer[]) => Buffer.concat([file.subarray(0, 2), ...parts, file.subarray(2)]);

test('the end of a JPEG is that of its scans, not of a thumbnail, a comment or what follows', () => {
  assert.ok(jpegs.length >= 10);
  for (const { name, bytes } of jpegs) {
    assert.ok(hasJpegEnd(bytes), name);
    assert.ok(hasJpegEnd(Buffer.concat([bytes, Buffer.from('trailing bytes \xff\xd8\xff', 'latin1')])), name);
    const thumbnail = segment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), bytes.subarray(0, 8000)]));
    const comment = segment(0xfe, Buffer.from([0xff, 0xd9, 0xff, 0xda, 0, 4, 0, 0, 0xff, 0xd9]));
    const dressed = behindStart(bytes, thumbnail, comment, Buffer.from([0xff, 0xff]));
    assert.ok(hasJpegEnd(dressed), name);
    for (const [what, whole] of Object.entries({ bytes, dressed })) {
      const end = whole.lastIndexOf(Buffer.from([0xff, 0xd9]));
      for (const kept of [end + 1, end, end - 9, end >> 1, end >> 2]) {
        const cut = whole.subarray(0, kept);
        assert.ok(!hasJpegEnd(cut), `${what} of ${name} cut to ${kept}`);
        assert.throws(() => checkImage(cut), /the file was cut|ends before/, `${what} of ${name} cut to ${kept}`);
      }
    }
  }
});

test('two bytes of a table or a comment behind the first scan are not the end of a JPEG', async () => {
  const END = Buffer.from([0xff, 0xd9]);
  let cuts = 0;
  for (const { name, bytes } of jpegs) {
    const scans: number[] = [];
    for (let at = bytes.indexOf(Buffer.from([0xff, 0xda])); at >= 0; at = bytes.indexOf(Buffer.from([0xff, 0xda]), at + 2)) scans.push(at);
    const end = bytes.lastIndexOf(END);
    // Before the last scan, or before the end: libjpeg reads segments in both places.
    for (const at of new Set([...scans.slice(1), end]))
      for (const [marker, body] of [
        [0xfe, Buffer.concat([Buffer.from('made by hand '), END, Buffer.from(' or not')])],
        [0xe1, Buffer.concat([Buffer.from('Exif\0\0'), bytes.subarray(0, 300), END, END])],
        [0xed, END],
      ] as const) {
        const whole = Buffer.concat([bytes.subarray(0, at), segment(marker, body), bytes.subarray(at)]);
        const what = `${name} with ${marker.toString(16)} at ${at}`;
        assert.ok(hasJpegEnd(whole), what);
        assert.ok(hasJpegEnd(Buffer.concat([whole, Buffer.from('bytes after it'), bytes, END])), what);
        const decoded = await decode({ format: 'jpeg', bytes: whole, width: 0, height: 0 });
        assert.deepEqual(decoded.rgb, (await decode({ format: 'jpeg', bytes, width: 0, height: 0 })).rgb, what);
        const cut = whole.subarray(0, at + 4 + body.length);
        assert.ok(!hasJpegEnd(cut), `${what}, cut`);
        await assert.rejects(decode({ format: 'jpeg', bytes: cut, width: 0, height: 0 }), Error, `${what}, cut`);
        cuts++;
      }
  }
  assert.ok(cuts >= 60, `${cuts} files`);
});

test('nothing is refused that decodes: every file of the folders, and JPEGs with damage', async () => {
  for (const { name, bytes } of [...jpegs, ...others.filter((file) => file.name !== 'g4.tif')])
    assert.doesNotThrow(() => checkImage(bytes), name);
  const change = fc.record({ at: fc.noBias(fc.nat(2 ** 30 - 1)), value: fc.constantFrom(0xff, 0xd9, 0xda, 0xd8, 0, 0xc4, 2, 0xe1, 90) });
  const outcomes = { decoded: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.nat(jpegs.length - 1), fc.array(change, { minLength: 1, maxLength: 3 }), async (file, changes) => {
      const bytes = Buffer.from((jpegs[file] as { bytes: Buffer }).bytes);
      for (const { at, value } of changes) bytes[2 + Math.floor((at / 2 ** 30) * (bytes.length - 2))] = value;
      const decoded = await decode({ format: 'jpeg', bytes, width: 0, height: 0 }).then(
        () => true,
        () => false,
      );
      outcomes[decoded ? 'decoded' : 'refused']++;
      if (decoded) assert.doesNotThrow(() => checkImage(bytes));
    }),
    { seed: 20261129, numRuns: 600 },
  );
  assert.ok(outcomes.decoded > 50 && outcomes.refused > 50, JSON.stringify(outcomes));
});

test('kinds that are not read and files that were cut are refused by name, as their decoders would', async () => {
  const tiff = (tag: number, value: number) => {
    const bytes = Buffer.from(of('rgb-None.tif'));
    const directory = bytes.readUInt32LE(4);
    for (let at = directory + 2; at < directory + 2 + 12 * bytes.readUInt16LE(directory); at += 12)
      if (bytes.readUInt16LE(at) === tag) bytes.writeUInt16LE(value, at + 8);
    return bytes;
  };
  const changed = (name: string, at: number, value: number) => {
    const bytes = Buffer.from(of(name));
    bytes[at] = value;
    return bytes;
  };
  const cases: readonly (readonly [string, Buffer, RegExp])[] = [
    [
      'JPEG 2000',
      Buffer.from('0000000c6a5020200d0a870a00000014667479706a703220', 'hex'),
      /it is a JPEG 2000 image, which is not read; convert it/,
    ],
    ['JPEG 2000 alone', Buffer.from('ff4fff51002f0000', 'hex'), /it is a JPEG 2000 codestream, which is not read/],
    ['JPEG XL', Buffer.from('0000000c4a584c200d0a870a', 'hex'), /it is a JPEG XL image/],
    ['HEIC', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0', 'latin1'), /it is a HEIF image/],
    ['AVIF', Buffer.from('\0\0\0\x1cftypavif\0\0\0\0', 'latin1'), /it is an AVIF image/],
    ['BigTIFF', Buffer.from('II\x2b\0\x08\0\0\0', 'latin1'), /it is a BigTIFF image/],
    ['a pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n'), /it is a git-lfs pointer; fetch/],
    ['a page', Buffer.from('<html><body>403 Forbidden</body></html>'), /it is an HTML or XML page.*download it again/],
    ['nothing', Buffer.alloc(0), /it is empty/],
    ['text', Buffer.from('no image at all'), /none of JPEG, PNG, WebP/],
    ['Group 4', of('g4.tif'), /tiff of compression 4 \(CCITT Group 4, of fax\), which is not read; save it with LZW/],
    ['Group 3', tiff(259, 3), /compression 3 \(CCITT Group 3/],
    ['run lengths', tiff(259, 2), /compression 2 \(CCITT run lengths/],
    ['Zstandard', tiff(259, 50_000), /Zstandard/],
    ['unknown', tiff(259, 999), /tiff of compression 999, which is not read/],
    ['YCbCr', tiff(262, 6), /photometric interpretation 6/],
    ['cut tiff', of('rgb-None.tif').subarray(0, -40), /tiff ends|damaged tag/],
    ['bmp of JPEG', changed('rgb.bmp', 30, 4), /bmp of compression 4/],
    ['bmp of 2 bits', changed('rgb.bmp', 28, 2), /bmp of 2 bits a pixel/],
    ['cut bmp', of('rgb.bmp').subarray(0, -8), /bmp ends inside its pixels/],
    ['cut webp', of('lossy.webp').subarray(0, -8), /webp ends inside its image/],
    ['cut animation', of('anim.webp').subarray(0, 60), /webp ends/],
    ['cut ppm', of('rgb.ppm').subarray(0, -1), /netpbm file ends inside its pixels/],
    ['cut pgm', of('g16.pgm').subarray(0, -1), /netpbm file ends inside its pixels/],
    ['cut gif', of('pal.gif').subarray(0, 30), /gif|Invalid|Unknown/i],
  ];
  for (const [what, bytes, reason] of cases) {
    assert.throws(() => checkImage(bytes), reason, what);
    await assert.rejects(decode({ format: formatOf(bytes), bytes, width: 0, height: 0 }), Error, what);
  }
});
