/** A run is planned once for everything that happens before its claim and for its attempt. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { withGpu, withoutExecutor } from '../../../test/support/executors.js';
import { modelCatalog } from '../run/model-catalog.js';
import { resolveRunSpec } from '../run/run-spec.js';
import { RunPrograms } from './run-program.js';

const data = { samples: 100, classes: ['a', 'b', 'c'] };
const given = RunSpec.fromPartial({
  model: 'vit_nano_p7',
  trainManifest: 'a'.repeat(64),
  inputSize: 14,
  batchSize: 4,
  engine: Engine.NATIVE,
});
const run = { uid: 'one', spec: resolveRunSpec(given, modelCatalog, data) };

/** Programs whose clock the test moves. */
function programs(): { readonly programs: RunPrograms; readonly clock: { ms: number } } {
  const clock = { ms: 0 };
  return { programs: new RunPrograms(() => clock.ms), clock };
}

test('looks at a run and its attempt share one plan, and the next attempt plans again', async () => {
  const { programs: all } = programs();
  const fingerprint = await all.fingerprint(run, 'native');
  assert.equal(await all.fingerprint(run, 'native'), fingerprint, 'the same plan');
  const program = await all.compile(run, 'native');
  program.dispose();
  assert.equal(program.fingerprint, fingerprint);
  const later = await all.fingerprint(run, 'native');
  assert.notEqual(later, fingerprint);
  assert.deepEqual(later, fingerprint);
});

test('an old plan, and that of another run or engine, is not used', async () => {
  const { programs: all, clock } = programs();
  const fingerprint = await all.fingerprint(run, 'native');
  assert.notEqual(await all.fingerprint({ ...run, uid: 'other' }, 'native'), fingerprint);
  assert.equal((await all.fingerprint(run, 'tfjs')).executor, 'tfjs');
  clock.ms += 29_000;
  assert.equal(await all.fingerprint(run, 'native'), fingerprint);
  clock.ms += 1000;
  assert.notEqual(await all.fingerprint(run, 'native'), fingerprint);
});

test('on a GPU, a run that goes on from a checkpoint with the numerics of this machine is planned once', {
  skip: withoutExecutor('webgpu'),
}, async () => {
  const { programs: all } = programs();
  const before = await all.fingerprint(run, 'webgpu');
  const like = fingerprintLine(before);
  assert.equal(await all.fingerprint({ ...run, like }, 'webgpu'), before, 'the same plan');
  const program = await all.compile({ ...run, like }, 'webgpu');
  program.dispose();
  assert.equal(program.fingerprint, before);
  // A checkpoint of other numerics needs a plan of its own.
  const here = await all.fingerprint(run, 'webgpu');
  assert.notEqual(await all.fingerprint({ ...run, like: `${like}0` }, 'webgpu'), here);
});

test('a plan that fails is not kept', async () => {
  const { programs: all } = programs();
  for (const gpu of ['abacus', 'sundial']) {
    const failure = await withGpu(gpu, () => all.fingerprint(run, 'webgpu')).catch((error: Error) => error);
    assert.ok(failure instanceof Error && failure.name === 'ExecutorUnavailable', String(failure));
    if (!failure.message.includes('not installed')) assert.ok(failure.message.includes(gpu), failure.message);
  }
});
