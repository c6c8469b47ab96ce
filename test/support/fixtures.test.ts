import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { fnv1a32 } from '#random/philox.js';
import { fillInput, fillLabels, fillMask, fillParameter, fillUnits, fixtureJson, withoutFixtures } from './fixtures.js';

interface Fill {
  hash: { text: string; fnv1a: number }[];
  tensors: { kind: string; name: string; shape: number[]; sha256_little_endian: string }[];
}

test('the formula gives the tensors whose hashes the fixtures state', { skip: withoutFixtures }, () => {
  const fill = fixtureJson<Fill & Record<string, unknown>>('fill.json');
  for (const { text, fnv1a } of fill.hash) assert.equal(fnv1a32(text), fnv1a, text);
  for (const { kind, name, shape, sha256_little_endian } of fill.tensors) {
    const cut = name.indexOf('/', name.indexOf('/') + 1);
    const [salt, rest] = [name.slice(0, cut), name.slice(cut + 1)];
    const values = kind === 'input' ? fillInput(salt, shape) : fillParameter(salt, rest, shape);
    assert.equal(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex'), sha256_little_endian, name);
  }
});

test('units, masks and labels by formula', { skip: withoutFixtures }, () => {
  const vit = fixtureJson<{ salt: string; labels: number[]; input_first_8: number[]; config: { classes: number } }>('models/vit.json');
  assert.deepEqual(fillLabels(vit.salt, 4, vit.config.classes), vit.labels);
  assert.deepEqual([...fillInput(vit.salt, [8])], vit.input_first_8);
  const units = fillUnits('any/name', 1000);
  assert.deepEqual(
    [...fillMask('any', 'name', 1000, 0.3)],
    [...units].map((u) => (u < 0.7 ? 1 : 0)),
  );
});
