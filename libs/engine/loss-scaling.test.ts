import assert from 'node:assert/strict';
import { test } from 'node:test';
import { afterStep, firstLossScaling, type LossScaling } from './loss-scaling.js';

function after(skips: readonly boolean[], from = firstLossScaling): LossScaling | undefined {
  return skips.reduce<LossScaling | undefined>((scaling, skipped) => scaling && afterStep(scaling, skipped), from);
}

const steps = (count: number, skipped = false) => new Array<boolean>(count).fill(skipped);

test('the factor begins at 65536, is halved by a skipped step, and doubles after 2000 steps without one, as that of GradScaler', () => {
  assert.deepEqual(after(steps(1999)), { scale: 65536, steadySteps: 1999, skippedSteps: 0 });
  assert.deepEqual(after(steps(2000)), { scale: 131072, steadySteps: 0, skippedSteps: 0 });
  assert.deepEqual(after([...steps(1999), true]), { scale: 32768, steadySteps: 0, skippedSteps: 1 });
  assert.deepEqual(after([true, true, ...steps(4000)]), { scale: 65536, steadySteps: 0, skippedSteps: 2 });
});

test('the factor never becomes infinite, and a step that is skipped with the smallest one ends the training', () => {
  assert.equal(after(steps(2000), { scale: 2 ** 127, steadySteps: 0, skippedSteps: 0 })!.scale, 2 ** 127);
  assert.equal(after(steps(40, true))!.scale, 2 ** -24);
  assert.equal(after(steps(41, true)), undefined);
});
