/** Decoding: JPEG gives the pixels of libjpeg-turbo as Pillow reads them, PNG those of pngjs, and damaged files do no harm. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { PNG } from 'pngjs';
import { DecodeError, decode, encodePng, ImageHeaderError, pixelInfo, readHeader, renderBatch } from '#native/pixels.js';
import { augment } from '../../../test/parity/groups/augment.js';
import { assertPublic } from '../../../test/parity/public-cases.js';
import { augmentFixtures, augmentFolder, type Fixture, imagenetTar, tarFiles } from '../../../test/support/image-fixtures.js';
import { sharedPath } from '../../../test/support/shared-folder.js';

const skip = augmentFolder && imagenetTar ? false : 'the shared folder is absent';
const fixtures: Fixture = skip ? undefined : augmentFixtures();
const special = (file: string) => new Uint8Array(readFileSync(join(augmentFolder!, file)));
const jpeg = (bytes: Uint8Array, width = 0, height = 0) => ({ format: 'jpeg', bytes, width, height }) as const;
const png = (bytes: Uint8Array, width = 0, height = 0) => ({ format: 'png', bytes, width, height }) as const;

test('JPEG files of ImageNet, six of them gray', { skip }, async (t) => {
  t.diagnostic(pixelInfo().jpeg);
  assert.equal((await assertPublic(augment, (name) => name.startsWith('augment/jpeg_decode '))).cases, 20);
});

test('JPEG of every kind: sampling, progressive, gray, CMYK, restarts, EXIF, one pixel, RGB', { skip }, async () => {
  assert.equal((await assertPublic(augment, (name) => name.startsWith('augment/jpeg_special '))).cases, 12);
});

test('a truncated JPEG is an error that says so, wherever it is cut', { skip }, async () => {
  for (const file of ['jpeg/baseline_420.jpg', 'jpeg/progressive_420.jpg', 'jpeg/restart.jpg']) {
    const bytes = special(file);
    for (const kept of [0, 1, 2, 3, 100, Math.floor(bytes.length / 2), bytes.length - 10, bytes.length - 2, bytes.length - 1]) {
      await assert.rejects(decode(jpeg(bytes.subarray(0, kept))), DecodeError, `${file} cut to ${kept}`);
      const slot = new Uint8Array(3 * 16).fill(7);
      const plan = { geometry: { kind: 'warp', interpolation: 'bicubic' }, flip: false, ops: [], fill: [0, 0, 0] } as const;
      const [outcome] = await renderBatch(
        [{ source: jpeg(bytes.subarray(0, kept)), plan: { ...plan, ops: [], fill: [0, 0, 0] } }],
        4,
        slot,
      );
      assert.ok(outcome && !outcome.ok && outcome.reason.startsWith('jpeg: '), JSON.stringify(outcome));
      assert.ok(slot.every((value) => value === 0));
    }
  }
  await assert.rejects(decode(jpeg(special('jpeg/restart.jpg').subarray(0, 1000))), /Premature end/i);
});

test('damaged JPEG files decode or fail, and never take the process along', { skip }, async () => {
  const originals = fixtures.jpeg_special.map(({ file }: Fixture) => special(file));
  const mutation = fc.record({
    original: fc.nat(originals.length - 1),
    changes: fc.array(fc.record({ at: fc.noBias(fc.nat(2 ** 30 - 1)), value: fc.nat(255) }), { minLength: 1, maxLength: 8 }),
    kept: fc.oneof({ arbitrary: fc.constant(100), weight: 9 }, fc.noBias(fc.integer({ min: 30, max: 99 }))),
    // Half of the changes are in the headers, where the decoder makes its decisions.
    header: fc.boolean(),
  });
  const outcomes = { decoded: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(mutation, async ({ original, changes, kept, header }) => {
      const bytes = originals[original].slice(0, Math.ceil((originals[original].length * kept) / 100));
      for (const { at, value } of changes) bytes[Math.floor((at / 2 ** 30) * Math.min(bytes.length, header ? 700 : bytes.length))] = value;
      const slot = new Uint8Array(3 * 64);
      const plan = { geometry: { kind: 'warp', interpolation: 'bilinear' } as const, flip: false, ops: [] };
      const [outcome] = await renderBatch([{ source: jpeg(bytes), plan: { ...plan, fill: [0, 0, 0] } }], 8, slot);
      outcomes[outcome!.ok ? 'decoded' : 'refused']++;
      if (!outcome!.ok) assert.ok(outcome!.reason.length > 5);
    }),
    { seed: 20230202, numRuns: 400 },
  );
  assert.ok(outcomes.decoded > 20 && outcomes.refused > 20, JSON.stringify(outcomes));
});

test('images too large, or not of their declared size, are refused before decoding', { skip }, async () => {
  const bytes = special('jpeg/baseline_444.jpg');
  const frame = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
  const huge = bytes.slice();
  huge.set([0xff, 0, 0xff, 0], frame + 5);
  const plan = {
    geometry: { kind: 'warp', interpolation: 'bilinear' } as const,
    flip: false,
    ops: [],
    fill: [0, 0, 0] as [number, number, number],
  };
  const reasonFor = async (source: Parameters<typeof decode>[0]) => {
    const [outcome] = await renderBatch([{ source, plan }], 4, new Uint8Array(48));
    return outcome!.ok ? 'ok' : outcome!.reason;
  };
  assert.match(await reasonFor(jpeg(huge)), /65280 x 65280 pixels.*64000000/);
  assert.match(await reasonFor(jpeg(bytes, 62, 47)), /61 x 47 pixels, declared 62 x 47/);
  assert.match(await reasonFor(png(encodePng(new Uint8Array(12), 2, 2, 'hwc'), 3, 2)), /2 x 2 pixels, declared 3 x 2/);
  await assert.rejects(decode(jpeg(huge)), /65280 x 65280/);
});

/** Packs 16-bit samples of `channels` into scanlines of a depth, without filter. */
function pngFile(width: number, height: number, bitDepth: 8 | 16, colorType: 0 | 2 | 4 | 6, samples: Uint16Array): Buffer {
  const image = new PNG({ width, height, colorType, bitDepth, inputColorType: colorType, inputHasAlpha: colorType >= 4 });
  image.data = bitDepth === 16 ? Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength) : Buffer.from(samples);
  return PNG.sync.write(image, { colorType, bitDepth, inputColorType: colorType, inputHasAlpha: colorType >= 4 });
}

test('PNG: gray, colour, alpha dropped; 16-bit colour keeps the high byte, 16-bit gray is clipped, as the reference does', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 9 }),
      fc.constantFrom(2 as const, 6 as const),
      fc.integer(),
      async (width, height, type, seed) => {
        const channels = type === 2 ? 3 : 4;
        const eight = Uint16Array.from({ length: width * height * channels }, (_, i) => Math.imul(i + seed, 2654435761) >>> 24);
        const expected = Uint8Array.from({ length: width * height * 3 }, (_, i) => eight[Math.floor(i / 3) * channels + (i % 3)]!);
        const file = pngFile(width, height, 8, type, eight);
        assert.deepEqual(readHeader(file), { format: 'png', width, height });
        assert.deepEqual((await decode(png(file, width, height))).rgb, expected);
      },
    ),
    { seed: 5, numRuns: 60 },
  );
  const gray = await decode(png(pngFile(3, 1, 8, 0, Uint16Array.of(0, 7, 255))));
  assert.deepEqual([...gray.rgb], [0, 0, 0, 7, 7, 7, 255, 255, 255]);
});

/** A PNG from raw scanlines (filter bytes included), chunk checksums left zero. */
async function rawPng(
  header: { width: number; height: number; depth: number; type: number; interlaced?: boolean },
  lines: number[],
  palette?: number[],
): Promise<Buffer> {
  const { deflateSync } = await import('node:zlib');
  const chunk = (type: string, body: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(body.length);
    return Buffer.concat([length, Buffer.from(type, 'latin1'), body, Buffer.alloc(4)]);
  };
  const ihdr = Buffer.alloc(13);
  ihdr.writeUInt32BE(header.width, 0);
  ihdr.writeUInt32BE(header.height, 4);
  ihdr.set([header.depth, header.type, 0, 0, header.interlaced ? 1 : 0], 8);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]),
    chunk('IHDR', ihdr),
    ...(palette ? [chunk('PLTE', Buffer.from(palette))] : []),
    chunk('IDAT', deflateSync(Buffer.from(lines))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

test('PNG: small depths, palettes, 16 bits, filters, interlacing', async () => {
  const rgbOf = async (file: Promise<Buffer>) => [...(await decode(png(await file))).rgb];
  const grays = (...values: number[]) => values.flatMap((value) => [value, value, value]);
  assert.deepEqual(await rgbOf(rawPng({ width: 3, height: 1, depth: 1, type: 0 }, [0, 0b10100000])), grays(255, 0, 255));
  assert.deepEqual(await rgbOf(rawPng({ width: 4, height: 1, depth: 2, type: 0 }, [0, 0b00011011])), grays(0, 85, 170, 255));
  assert.deepEqual(await rgbOf(rawPng({ width: 3, height: 1, depth: 4, type: 0 }, [0, 0x0f, 0x10])), grays(0, 255, 17));
  assert.deepEqual(await rgbOf(rawPng({ width: 3, height: 1, depth: 16, type: 0 }, [0, 0, 200, 1, 0, 255, 255])), grays(200, 255, 255));
  assert.deepEqual(await rgbOf(rawPng({ width: 1, height: 1, depth: 16, type: 2 }, [0, 1, 2, 3, 4, 5, 6])), [1, 3, 5]);
  assert.deepEqual(await rgbOf(rawPng({ width: 1, height: 1, depth: 16, type: 6 }, [0, 1, 2, 3, 4, 5, 6, 7, 8])), [1, 3, 5]);
  assert.deepEqual(await rgbOf(rawPng({ width: 1, height: 1, depth: 8, type: 4 }, [0, 9, 128])), grays(9));
  assert.deepEqual(await rgbOf(rawPng({ width: 2, height: 1, depth: 4, type: 3 }, [0, 0x10], [1, 2, 3, 4, 5, 6])), [4, 5, 6, 1, 2, 3]);
  // Filters 0 to 4 on lines of two gray pixels.
  const filtered = [0, 10, 20, 1, 5, 5, 2, 1, 1, 3, 4, 4, 4, 2, 2];
  assert.deepEqual(await rgbOf(rawPng({ width: 2, height: 5, depth: 8, type: 0 }, filtered)), grays(10, 20, 5, 10, 6, 11, 7, 13, 9, 15));
  // 3 x 3, interlaced: passes 1 (one pixel), 4, 5, 6 and 7 are not empty.
  const passes = [0, 1, 0, 3, 0, 7, 9, 0, 2, 0, 8, 0, 4, 5, 6];
  assert.deepEqual(
    await rgbOf(rawPng({ width: 3, height: 3, depth: 8, type: 0, interlaced: true }, passes)),
    grays(1, 2, 3, 4, 5, 6, 7, 8, 9),
  );
});

test('PNG: errors say what is wrong', async () => {
  const reject = async (file: Promise<Buffer> | Buffer, reason: RegExp) => assert.rejects(decode(png(await file)), reason);
  const good = rawPng({ width: 2, height: 2, depth: 8, type: 0 }, [0, 1, 2, 0, 3, 4]);
  await reject((await good).subarray(0, 44), /does not inflate|no image data/);
  await reject((await good).subarray(0, 30), /ends early/);
  await reject(rawPng({ width: 2, height: 1, depth: 8, type: 0 }, [9, 1, 2]), /unknown filter 9/);
  await reject(rawPng({ width: 2, height: 1, depth: 4, type: 2 }, [0, 0, 1, 2]), /bit depth 4/);
  await reject(rawPng({ width: 60_000, height: 60_000, depth: 8, type: 0 }, [0]), /60000 x 60000/);
  await reject(Buffer.from('GIF89a'), /no PNG signature/);
  const larger = await rawPng({ width: 3, height: 2, depth: 8, type: 0 }, [0, 1, 2, 3, 0, 3, 4, 5]);
  await reject(Buffer.concat([(await good).subarray(0, 33), larger.subarray(8)]), /two IHDR of different sizes/);
});

test('PNG that is not as it should be and that Pillow reads shows the same pixels here', async () => {
  const grays = (...values: number[]) => values.flatMap((value) => [value, value, value]);
  const good = await rawPng({ width: 2, height: 2, depth: 8, type: 0 }, [0, 1, 2, 0, 3, 4]);
  const [idat, iend] = [good.indexOf('IDAT') - 4, good.indexOf('IEND') - 4];
  const foreignChunk = Buffer.concat([Buffer.from([0, 0, 0, 2]), Buffer.from('ABCDxx'), Buffer.alloc(4)]);
  const without = (bytes: number) => {
    const packed = good.subarray(idat + 8, iend - 4 - bytes);
    const head = Buffer.alloc(8);
    head.writeUInt32BE(packed.length);
    head.write('IDAT', 4, 'latin1');
    return Buffer.concat([good.subarray(0, idat), head, packed, Buffer.alloc(4), good.subarray(iend)]);
  };
  const whole: [string, Buffer][] = [
    ['no IEND', good.subarray(0, iend)],
    ['cut inside IEND', good.subarray(0, iend + 9)],
    ['bytes behind IEND', Buffer.concat([good, Buffer.from('garbage')])],
    ['an unknown critical chunk', Buffer.concat([good.subarray(0, idat), foreignChunk, good.subarray(idat)])],
    ['a chunk before IHDR', Buffer.concat([good.subarray(0, 8), foreignChunk, good.subarray(8)])],
    ['no checksum of the pixels', without(4)],
    ['a byte too many', await rawPng({ width: 2, height: 2, depth: 8, type: 0 }, [0, 1, 2, 0, 3, 4, 0])],
    ['a longer IHDR', Buffer.concat([good.subarray(0, 11), Buffer.from([14]), good.subarray(12, 29), Buffer.alloc(1), good.subarray(29)])],
    ['another method of compression', Buffer.concat([good.subarray(0, 26), Buffer.from([1]), good.subarray(27)])],
    ['IHDR twice', Buffer.concat([good.subarray(0, 33), good.subarray(8)])],
    ['lines too many', await rawPng({ width: 2, height: 2, depth: 8, type: 0 }, [0, 1, 2, 0, 3, 4, 0, 9, 9, 0, 9, 9])],
  ];
  for (const [title, bytes] of whole) {
    assert.deepEqual(readHeader(bytes), { format: 'png', width: 2, height: 2 }, title);
    assert.deepEqual([...(await decode(png(bytes))).rgb], grays(1, 2, 3, 4), title);
  }
  const short = await rawPng({ width: 2, height: 3, depth: 8, type: 0 }, [0, 1, 2, 0, 3, 4]);
  assert.deepEqual([...(await decode(png(short))).rgb], grays(1, 2, 3, 4, 0, 0), 'a whole stream of too few lines');
  const few = await rawPng({ width: 2, height: 1, depth: 8, type: 3 }, [0, 0, 2], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...(await decode(png(few))).rgb], [1, 2, 3, 0, 0, 0], 'an index without an entry');
  const odd = await rawPng({ width: 2, height: 1, depth: 8, type: 3 }, [0, 0, 1], [1, 2, 3, 4, 5]);
  assert.deepEqual([...(await decode(png(odd))).rgb], [1, 2, 3, 0, 0, 0], 'an entry that is cut');
  const none = await rawPng({ width: 2, height: 1, depth: 8, type: 3 }, [0, 0, 1]);
  const late = (file: Buffer) =>
    Buffer.concat([file.subarray(0, -12), Buffer.from('\0\0\0\x06PLTE\x01\x02\x03\x04\x05\x06\0\0\0\0', 'latin1'), file.subarray(-12)]);
  assert.deepEqual([...(await decode(png(late(none)))).rgb], grays(0, 0), 'a palette behind the pixels');
  assert.deepEqual([...(await decode(png(none))).rgb], grays(0, 0), 'no palette');
});

test('damaged PNG files decode or fail, and never take the process along', async () => {
  const originals = [
    encodePng(
      Uint8Array.from({ length: 3 * 30 * 20 }, (_, i) => i * 31),
      30,
      20,
      'hwc',
    ),
    await rawPng(
      { width: 5, height: 5, depth: 2, type: 3, interlaced: true },
      new Array(60).fill(0).map((_, i) => i % 5),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    ),
    await rawPng({ width: 9, height: 2, depth: 16, type: 6 }, new Array(2 * 73).fill(1)),
  ];
  const change = fc.record({ at: fc.noBias(fc.nat(2 ** 30 - 1)), value: fc.nat(255) });
  const outcomes = { decoded: 0, refused: 0 };
  await fc.assert(
    fc.asyncProperty(fc.nat(2), fc.array(change, { minLength: 1, maxLength: 4 }), async (original, changes) => {
      const bytes = Uint8Array.from(originals[original]!);
      for (const { at, value } of changes) bytes[8 + Math.floor((at / 2 ** 30) * (bytes.length - 8))] = value;
      const decoded = await decode(png(bytes)).catch((error) => assert.ok(error instanceof DecodeError, String(error)));
      outcomes[decoded ? 'decoded' : 'refused']++;
    }),
    { seed: 31, numRuns: 500 },
  );
  assert.ok(outcomes.decoded > 10 && outcomes.refused > 20, JSON.stringify(outcomes));
});

const cifarTar = sharedPath('data', 'cifar10-jpeg.tar.gz');

test('small JPEG files of CIFAR: decoded, padded and cropped', { skip: cifarTar ? false : 'the shared folder is absent' }, async () => {
  const files = [...tarFiles(cifarTar!, (name) => name.endsWith('.jpg'), 200).values()];
  assert.equal(files.length, 200);
  const geometry = { kind: 'padded_crop', padding: 4, top: 1, left: 6 } as const;
  const out = new Uint8Array(files.length * 3072);
  const jobs = files.map((bytes) => ({
    source: jpeg(bytes, 32, 32),
    plan: { geometry, flip: false, ops: [], fill: [0, 0, 0] as [number, number, number] },
  }));
  assert.ok((await renderBatch(jobs, 32, out)).every(({ ok }) => ok));
  for (const [i, bytes] of files.entries()) {
    const { width, height, rgb } = await decode(jpeg(bytes));
    assert.deepEqual([width, height], [32, 32]);
    for (let c = 0; c < 3; c++) {
      for (let y = 0; y < 32; y++) {
        for (let x = 0; x < 32; x++) {
          const [fromY, fromX] = [y + 1 - 4, x + 6 - 4];
          const inside = fromY >= 0 && fromY < 32 && fromX >= 0 && fromX < 32;
          const wanted = inside ? rgb[3 * (32 * fromY + fromX) + c] : 0;
          if (out[i * 3072 + (c * 32 + y) * 32 + x] !== wanted) assert.fail(`file ${i}, channel ${c}, (${y}, ${x})`);
        }
      }
    }
  }
});

test('the header reader: any bytes give a header or an ImageHeaderError', () => {
  const start = fc.constantFrom<number[]>([], [0xff, 0xd8], [0xff, 0xd8, 0xff, 0xc0], [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10]);
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 60 }), (first, rest) => {
      try {
        const { width, height } = readHeader(Uint8Array.from([...first, ...rest]));
        assert.ok(width >= 1 && height >= 1);
      } catch (error) {
        assert.ok(error instanceof ImageHeaderError, String(error));
      }
    }),
    { seed: 9, numRuns: 3000 },
  );
});

test('encodePng of planes and of rows', async () => {
  const rows = Uint8Array.from({ length: 2 * 3 * 3 }, (_, i) => i * 7);
  const planes = Uint8Array.from({ length: 18 }, (_, i) => rows[(i % 6) * 3 + Math.floor(i / 6)]!);
  const file = encodePng(planes, 2, 3, 'chw');
  assert.deepEqual(file, encodePng(rows, 2, 3, 'hwc'));
  assert.deepEqual(await decode(png(file)), { width: 2, height: 3, rgb: rows });
  assert.throws(() => encodePng(rows, 3, 3, 'hwc'), TypeError);
});
