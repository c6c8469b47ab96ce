/** Every rendered pixel equals the reference's: Pillow 12.0.0's outputs in the shared fixtures, byte for byte. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadAddon } from '#native/load.js';
import { renderRecord } from '#native/pixels/plan-record.js';
import { type PixelOp, type PixelOpName, type RenderPlan, type RenderSource, renderBatch } from '#native/pixels.js';
import {
  augmentFixtures,
  augmentFolder,
  type Fixture,
  imagenetTar,
  interleaved,
  type RgbImage,
  readPng,
  sha256,
  tarFiles,
} from '../../../test/support/image-fixtures.js';

const skip = augmentFolder && imagenetTar ? false : 'the shared folder is absent';
const fixtures: Fixture = skip ? undefined : augmentFixtures();
const images = new Map<string, Uint8Array>();
if (!skip) for (const [name, bytes] of tarFiles(imagenetTar!, () => true)) images.set(name.split('/').pop()!.replace('.JPEG', ''), bytes);

const source = (name: string): RgbImage => readPng(join(augmentFolder!, fixtures.sources[name].file));
const raw = ({ rgb, width, height }: RgbImage): RenderSource => ({ format: 'rgb', bytes: rgb, width, height });
const jpeg = (name: string): RenderSource => ({ format: 'jpeg', bytes: images.get(name)!, width: 0, height: 0 });

/** Interleaved pixels of one rendered sample. */
async function rendered(from: RenderSource, size: number, plan: Partial<RenderPlan>): Promise<Uint8Array> {
  const out = new Uint8Array(3 * size * size);
  const full: RenderPlan = { geometry: { kind: 'none' }, flip: false, ops: [], fill: fixtures.fill, ...plan };
  assert.deepEqual(await renderBatch([{ source: from, plan: full }], size, out), [{ ok: true }]);
  return interleaved(out);
}

/** Where two images differ most, for a message that helps. */
function difference(actual: Uint8Array, expected: Uint8Array): string {
  let count = 0;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const by = Math.abs(actual[i]! - expected[i]!);
    if (by > 0) count++;
    worst = Math.max(worst, by);
  }
  return `${count} of ${expected.length} values differ, by at most ${worst}`;
}

function assertSame(actual: Uint8Array, file: string, hash: string, what: string): void {
  if (sha256(actual) !== hash) assert.fail(`${what}: ${difference(actual, readPng(join(augmentFolder!, file)).rgb)}`);
}

/** timm's names to ours; arguments of the relative translations are fractions of the side. */
function operation(name: string, argument: number | null, interpolation: PixelOp['interpolation'] | null, image: RgbImage): PixelOp {
  const op = name.replace(/Increasing$|Rel$/, '') as PixelOpName;
  const side = op === 'TranslateX' ? image.width : op === 'TranslateY' ? image.height : 1;
  return { op, argument: (argument ?? 0) * side, ...(interpolation ? { interpolation } : {}) };
}

/** The op at a magnitude, as recipe.md §5 states it. */
function atMagnitude(name: string, magnitude: number, sign: number, image: RgbImage): PixelOp {
  const level = magnitude / 10;
  const argument: Record<string, number> = {
    Rotate: sign * 30 * level,
    ContrastIncreasing: 1 + sign * 0.9 * level,
    ShearX: sign * 0.3 * level,
    TranslateXRel: sign * 0.45 * level,
  };
  return operation(name, argument[name] ?? 0, 'bicubic', image);
}

interface DecodeAddon {
  pixelsDecode(bytes: Uint8Array, palette: null, record: Float64Array, out: Uint8Array): Promise<(string | null)[]>;
}

/** Flip and ops on an image of any shape (batches are square), interleaved. */
async function adjusted(image: RgbImage, plan: Partial<RenderPlan>): Promise<Uint8Array> {
  const out = new Uint8Array(image.rgb.length);
  const full: RenderPlan = { geometry: { kind: 'none' }, flip: false, ops: [], fill: fixtures.fill, ...plan };
  const record = Float64Array.from(renderRecord(raw(image), full, undefined));
  assert.deepEqual(await (loadAddon() as unknown as DecodeAddon).pixelsDecode(image.rgb, null, record, out), [null]);
  return out;
}

test('every RandAugment operation, magnitude, sign and interpolation', { skip }, async (t) => {
  let checked = 0;
  for (const [name, cases] of Object.entries<Fixture[]>(fixtures.randaugment)) {
    for (const { source: from, file, rows } of cases) {
      const image = source(from);
      const strip = readPng(join(augmentFolder!, file)).rgb;
      for (const [i, row] of rows.entries()) {
        const actual = await adjusted(image, { ops: [operation(name, row.argument, row.interpolation, image)] });
        const expected = strip.subarray(i * actual.length, (i + 1) * actual.length);
        assert.equal(sha256(expected), row.sha256);
        assert.ok(sha256(actual) === row.sha256, `${name} ${JSON.stringify(row)} of ${from}: ${difference(actual, expected)}`);
        checked++;
      }
    }
  }
  t.diagnostic(`${checked} images`);
  assert.equal(checked, 288);
});

test('crop and antialiased resize', { skip }, async () => {
  for (const { image, top, left, height, width, size, interpolation, file, sha256: hash } of fixtures.crop_resize) {
    const geometry = { kind: 'resized_crop', top, left, height, width, interpolation } as const;
    assertSame(await rendered(jpeg(image), size, { geometry }), file, hash, file);
  }
});

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2) : Math.round(x);
}

test('evaluation: resize, then centre crop; a square warp from 384 up', { skip }, async () => {
  for (const { image, input_size: size, resized_width_height, file, sha256: hash } of fixtures.evaluation) {
    const [resizeWidth, resizeHeight] = resized_width_height;
    const [top, left] = [roundHalfEven((resizeHeight - size) / 2), roundHalfEven((resizeWidth - size) / 2)];
    const geometry =
      size >= 384
        ? ({ kind: 'warp', interpolation: 'bicubic' } as const)
        : ({ kind: 'resize_center_crop', resizeWidth, resizeHeight, top, left, interpolation: 'bicubic' } as const);
    assertSame(await rendered(jpeg(image), size, { geometry }), file, hash, file);
  }
});

test('colour jitter', { skip }, async () => {
  const names: Record<string, PixelOpName> = { brightness: 'Brightness', contrast: 'Contrast', saturation: 'Color' };
  for (const { source: from, steps, file, sha256: hash } of fixtures.color_jitter) {
    const image = source(from);
    const ops = steps.map(([name, argument]: [string, number]) => ({ op: names[name], argument }));
    assertSame(await adjusted(image, { ops }), file, hash, file);
  }
});

test('flip, and crops of the zero-padded image', { skip }, async () => {
  for (const { source: from, flip_sha256, tile_left_top_right_bottom: tile, pad4_crops } of fixtures.flip_and_pad) {
    const image = source(from);
    assert.equal(sha256(await adjusted(image, { flip: true })), flip_sha256);
    const [left, top, right, bottom] = tile;
    const side = right - left;
    assert.equal(bottom - top, side);
    const rgb = new Uint8Array(3 * side * side);
    for (let y = 0; y < side; y++) {
      const at = 3 * ((top + y) * image.width + left);
      rgb.set(image.rgb.subarray(at, at + 3 * side), 3 * y * side);
    }
    for (const crop of pad4_crops) {
      const geometry = { kind: 'padded_crop', padding: 4, top: crop.top, left: crop.left } as const;
      const actual = await rendered(raw({ rgb, width: side, height: side }), side, { geometry });
      assert.equal(sha256(actual), crop.sha256, `${from} ${JSON.stringify(crop)}`);
    }
  }
});

test('the whole pipeline: crop, flip, two operations', { skip }, async () => {
  for (const { image, top, left, height, width, size, flip, ops_magnitude_sign, file, sha256: hash } of fixtures.pipeline) {
    const square = { width: size, height: size, rgb: new Uint8Array(0) };
    const ops = ops_magnitude_sign.map(([name, magnitude, sign]: [string, number, number]) => atMagnitude(name, magnitude, sign, square));
    const geometry = { kind: 'resized_crop', top, left, height, width, interpolation: 'bicubic' } as const;
    assertSame(await rendered(jpeg(image), size, { geometry, flip, ops }), file, hash, file);
  }
});
