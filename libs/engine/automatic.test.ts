/** `auto` takes a GPU that is there, right and faster, and says why it does or does not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { modelConfig } from '#nn/models/registry.js';
import { withGpu } from '../../test/support/executors.js';
import { decide, planOnEngine, type Trial } from './automatic.js';

const shapes = { imageSize: 28, classes: 5, batch: 4 };
const model = modelConfig('vit_nano_p7', shapes);
const soon = () => AbortSignal.timeout(120_000);

test('without a GPU the native engine is chosen, and the reason says what is missing', async () => {
  const { engine, reason, planned } = await withGpu('abacus', () => planOnEngine('auto', model, shapes, {}, soon()));
  assert.equal(engine, 'native');
  assert.equal(planned.fingerprint.executor, 'native');
  assert.match(reason, /^no GPU can be used: .*(abacus|webgpu is not installed)/);
});

test('an engine that is named is not chosen, and needs no reason', async () => {
  const { engine, reason, planned } = await planOnEngine('tfjs', model, shapes, {}, soon());
  assert.deepEqual([engine, reason, planned.fingerprint.executor], ['tfjs', '', 'tfjs']);
  await assert.rejects(
    withGpu('abacus', () => planOnEngine('webgpu', model, shapes, {}, soon())),
    { name: 'ExecutorUnavailable' },
  );
});

test('what only the native engine supports is left to it', async () => {
  const { engine, reason } = await withGpu('abacus', () => planOnEngine('auto', model, shapes, { precision: 'bf16' }, soon()));
  assert.equal(engine, 'native');
  assert.match(reason, /webgpu does not support precision bf16|no GPU can be used/);
});

test('a GPU that computes other numbers is never chosen, however fast it is; of two that agree, the faster one is', () => {
  const right: Trial = { losses: [2.3, 2.4, 2.2], gradNorm: 1.5, seconds: 1 };
  const about = { gpu: 'card', precision: 'fp32' } as const;
  const wrong = fc.oneof(fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY), fc.double({ min: 0.01, max: 1e6, noNaN: true }));
  fc.assert(
    fc.property(fc.nat(3), wrong, fc.double({ min: 1e-9, max: 10, noNaN: true }), (at, off, seconds) => {
      const losses = right.losses as number[];
      const bad = at < 3 ? { losses: losses.with(at, losses[at]! + off), gradNorm: 1.5 } : { losses, gradNorm: 1.5 + 10 * off };
      const { engine, reason } = decide({ native: right, webgpu: { ...bad, seconds } }, about);
      assert.equal(engine, 'native');
      assert.match(reason, /^card computes a (loss|gradient)/);
      const agreeing = { losses: losses.map((loss) => loss + 1e-5), gradNorm: 1.5001, seconds };
      assert.equal(decide({ native: right, webgpu: agreeing }, about).engine, seconds < 1 ? 'webgpu' : 'native');
    }),
  );
  const short = { losses: [2.3], gradNorm: 1.5, seconds: 0.1 };
  assert.equal(decide({ native: right, webgpu: short }, about).engine, 'native');
});
