import assert from 'node:assert/strict';
import { test } from 'node:test';
import { differences, seedGroups } from './differences.js';
import { enumWord } from './json-words.js';
import { runSpecEnums } from './words.js';

const base = { model: 'vit_tiny', epochs: 10, seed: '1', dropMode: 'DROP_MODE_EARLY' };

test('only options that differ are shown, with a value for each run', () => {
  const rows = differences([base, { ...base, dropMode: 'DROP_MODE_LATE' }, { ...base, epochs: 20 }]);
  assert.deepEqual(
    rows.map(({ name, values }) => [name, ...values]),
    [
      ['epochs', '10', '10', '20'],
      ['drop_mode', 'early', 'late', 'early'],
    ],
  );
});

test('runs that differ in their seed only belong together', () => {
  assert.deepEqual(seedGroups([base, { ...base, epochs: 20 }, { ...base, seed: '2' }, { ...base, seed: '3' }]), [[0, 2, 3], [1]]);
});

test('every enum of a spec is shown with the words of the command line', () => {
  for (const [field, { names, words }] of Object.entries(runSpecEnums)) assert.deepEqual(names.map(enumWord), words, field);
});
