import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutExecutor } from '../../test/support/executors.js';
import { fixtureJson, fixtureTensors, withoutFixtures } from '../../test/support/fixtures.js';
import {
  compileShapes,
  type FullFile,
  fillWeights,
  goldenStep,
  maxAbsoluteDifference,
  modelOf,
  norm,
  pathRandom,
} from '../../test/support/golden-model.js';
import { compile } from './compile.js';

// Full-size models; TensorFlow.js on the CPU would take minutes for each.
for (const name of ['vit_tiny', 'vit_tiny+drop_path', 'vit_tiny@96', 'vit_small']) {
  test(`native: ${name} has PyTorch's logits, loss and gradients`, { skip: withoutFixtures || withoutExecutor('native') }, async () => {
    const file = fixtureJson<FullFile>(`models_full/${name}.json`);
    const logits = fixtureTensors('models_full/logits.safetensors').get(`${name}/logits`)!;
    const program = await compile(modelOf(file.config), compileShapes(file), { executor: 'native' });
    fillWeights(program, file.salt);
    const result = await program.step(goldenStep(file, file.drop_path ? pathRandom(file.drop_path) : {}));
    assert.ok(maxAbsoluteDifference(result.logits, logits.data) <= 5e-5, 'logits');
    assert.ok(Math.abs(result.loss - file.loss) <= 1e-5, `loss ${result.loss}, expected ${file.loss}`);
    assert.ok(Math.abs(result.gradNorm / file.grad_norm - 1) <= 1e-4, `norm ${result.gradNorm}, expected ${file.grad_norm}`);
    const largest = Math.max(...Object.values(file.grads).map((grad) => grad.norm));
    assert.deepEqual(
      program.parameters.map((parameter) => parameter.name),
      Object.keys(file.grads),
    );
    for (const [parameter, expected] of Object.entries(file.grads)) {
      const gradient = program.read('gradients', parameter);
      const allowed = 1e-4 * Math.max(expected.norm, 1e-3 * largest);
      assert.ok(Math.abs(norm(gradient) - expected.norm) <= allowed, `norm of ${parameter}`);
      // The whole difference is within `allowed`; so is that of 8 elements, and the sum within √n of it.
      const picked = expected.at.map((at, i) => gradient[at]! - expected.values[i]!);
      assert.ok(norm(picked) <= allowed, `elements of ${parameter}: off by ${norm(picked)}, allowed ${allowed}`);
      const sum = gradient.reduce((total, value) => total + value, 0);
      assert.ok(Math.abs(sum - expected.sum) <= allowed * Math.sqrt(gradient.length), `sum of ${parameter}`);
    }
    program.dispose();
  });
}
