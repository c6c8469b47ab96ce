/** Every rendered pixel equals the reference's: Pillow 12.0.0's outputs in the shared fixtures, byte for byte. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { augment } from '../../../test/parity/groups/augment.js';
import { assertPublic } from '../../../test/parity/public-cases.js';
import { augmentFolder, imagenetTar } from '../../../test/support/image-fixtures.js';

const skip = augmentFolder && imagenetTar ? false : 'the shared folder is absent';
const of = (kind: string) => assertPublic(augment, (name) => name.startsWith(`augment/${kind} `));

test('every RandAugment operation, magnitude, sign and interpolation', { skip }, async () => {
  assert.equal((await of('randaugment')).cases, 3 * 15);
});

test('crop and antialiased resize', { skip }, async () => {
  await of('crop_resize');
});

test('evaluation: resize, then centre crop; a square warp from 384 up', { skip }, async () => {
  await of('evaluation');
});

test('colour jitter', { skip }, async () => {
  await of('color_jitter');
});

test('flip, and crops of the zero-padded image', { skip }, async () => {
  await of('flip_and_pad');
});

test('the whole pipeline: crop, flip, two operations, normalised, a rectangle set to 0', { skip }, async () => {
  await of('pipeline');
});
