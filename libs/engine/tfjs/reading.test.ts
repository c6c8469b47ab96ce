/** The executor reads tensors asynchronously only: some backends of TensorFlow.js have no other way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { smallProgram, smallStep } from '../../../test/support/small-training.js';
import { loadTensorFlow } from './backend.js';

test('a step, an evaluation and an export never read a tensor synchronously', async (t) => {
  const { tf } = await loadTensorFlow('cpu');
  const program = await smallProgram('tfjs-cpu');
  t.after(() => program.dispose());
  const read = t.mock.method(tf.Tensor.prototype, 'dataSync');
  const { microBatches, ...step } = smallStep(0, 2);
  const { gradNorm } = await program.step({ ...step, microBatches: microBatches.slice(0, 1) });
  assert.ok(gradNorm > 0);
  await program.evaluate(microBatches[0]!, 'ema');
  await program.exportState({ ema: true });
  assert.equal(read.mock.callCount(), 0);
});

test('a step that is cancelled while its norm is read changes nothing', async (t) => {
  const { tf } = await loadTensorFlow('cpu');
  const program = await smallProgram('tfjs-cpu');
  t.after(() => program.dispose());
  const before = await program.exportState({ ema: true });
  const { microBatches, ...step } = smallStep(0, 2);
  const { data } = tf.Tensor.prototype;
  // Of all that a step reads, only the norm is one number.
  const reading = t.mock.method(tf.Tensor.prototype, 'data', function (this: InstanceType<typeof tf.Tensor>) {
    if (this.size === 1) program.cancel();
    return data.call(this);
  });
  await assert.rejects(program.step({ ...step, microBatches: microBatches.slice(0, 1) }), { name: 'StepCancelled' });
  reading.mock.restore();
  assert.deepEqual(await program.exportState({ ema: true }), before);
  assert.ok((await program.step({ ...step, microBatches: microBatches.slice(0, 1) })).gradNorm > 0);
});
