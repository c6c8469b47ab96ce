import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modelFamily, modelNames } from '#nn/models/registry.js';
import { engines } from '#spec/words.js';
import { abilitiesOf, executorAsked, executorNames, executorOf, lacks, UnknownExecutor } from './engines.js';
import { precisions } from './precision.js';

test('exactly the engines of the protos have an executor, but for the one that a worker chooses', () => {
  const named = engines.words.filter((word) => word !== 'auto');
  assert.deepEqual(named.map(executorOf), ['native', 'tfjs-cpu', 'tfjs-tensorflow', 'webgpu']);
  assert.deepEqual(engines.words.map(executorAsked), ['native', 'tfjs-cpu', 'tfjs-tensorflow', 'webgpu', 'native']);
  for (const name of ['', 'auto', 'abacus', 'toString', 'tfjs-cpu']) {
    assert.throws(
      () => executorOf(name as 'native'),
      (error) => error instanceof UnknownExecutor && error.value === name && /native, webgpu, tfjs, tensorflow/.test(error.message),
    );
  }
  assert.throws(() => abilitiesOf('abacus' as 'native'), UnknownExecutor);
});

test('the error about an unsupported option says what the executor supports', () => {
  const everything = { precision: 'bf16', checkpointBlocks: true } as const;
  for (const executor of ['native', 'webgpu'] as const) assert.deepEqual(lacks(executor, everything), []);
  assert.deepEqual(lacks('tfjs-cpu', everything), [
    { field: 'precision', value: 'bf16', allowed: 'fp32' },
    { field: 'checkpoint_blocks', value: 'true', allowed: 'false' },
  ]);
});

test('f16 is refused by every engine but webgpu, and so by the choice of an engine', () => {
  const asked = { precision: 'f16', checkpointBlocks: false } as const;
  assert.deepEqual(lacks('webgpu', asked), []);
  assert.deepEqual(lacks(executorAsked('auto'), asked), [{ field: 'precision', value: 'f16', allowed: 'fp32 or bf16' }]);
  for (const name of ['tfjs', 'tfjs-cpu', 'tfjs-tensorflow'] as const)
    assert.deepEqual(lacks(name, asked), [{ field: 'precision', value: 'f16', allowed: 'fp32' }]);
});

test('every executor has fp32, and every precision and family has an executor', () => {
  const all = executorNames.map(abilitiesOf);
  for (const one of all) assert.ok(one.precisions.includes('fp32'));
  for (const precision of precisions) assert.ok(all.some((one) => one.precisions.includes(precision)));
  for (const name of modelNames()) assert.ok(all.some((one) => one.families.includes(modelFamily(name))));
});
