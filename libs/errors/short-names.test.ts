import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shortNames } from './short-names.js';

test('ids are names where they differ, and have their project where they do not', () => {
  assert.deepEqual(shortNames(['projects/a/runs/x', 'projects/b/runs/y', 'projects/b/runs/x']), ['a/x', 'y', 'b/x']);
});
