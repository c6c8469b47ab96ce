import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { fillParameter, fixtureJson, fixtureTensors, withoutFixtures } from '../../test/support/fixtures.js';
import { runFloat64 } from '../../test/support/float64-program.js';
import {
  assertGradients,
  compileShapes,
  fillWeights,
  goldenStep,
  maxAbsoluteDifference,
  modelOf,
  type ReducedFile,
  reducedModes,
  reducedRandom,
} from '../../test/support/golden-model.js';
import { compile } from './compile.js';
import { lower } from './native/lower.js';

const cases = ['vit'];

for (const name of cases) {
  for (const executor of testedExecutors) {
    test(`${executor}: the reduced ${name} has PyTorch's logits, loss and gradients in every mode`, {
      skip: withoutFixtures || withoutExecutor(executor),
    }, async () => {
      const file = fixtureJson<ReducedFile>(`models/${name}.json`);
      const tensors = fixtureTensors(`models/${name}.safetensors`);
      const program = await compile(modelOf(file.config), compileShapes(file), { executor });
      assert.deepEqual(
        program.parameters.map(({ name, shape }) => [name, [...shape]]),
        Object.entries(file.params),
      );
      fillWeights(program, file.salt);
      for (const mode of reducedModes) {
        const step = goldenStep(file, reducedRandom(name, mode));
        const result = await program.step(step);
        const expected = file.modes[mode];
        assert.ok(maxAbsoluteDifference(result.logits, tensors.get(`${mode}/logits`)!.data) <= 5e-5, `${mode}: logits`);
        assert.ok(Math.abs(result.loss - expected.loss) <= 1e-5, `${mode}: loss ${result.loss}, expected ${expected.loss}`);
        assert.ok(Math.abs(result.gradNorm / expected.grad_norm - 1) <= 1e-4, `${mode}: norm ${result.gradNorm}`);
        assertGradients(
          Object.keys(file.params),
          (parameter) => program.read('gradients', parameter),
          (parameter) => tensors.get(`${mode}/grad/${parameter}`)!.data,
          1e-4,
        );
        if (mode === 'eval') {
          const evaluated = await program.evaluate(step.microBatches[0]!);
          assert.ok(maxAbsoluteDifference(evaluated.logits, tensors.get('eval/logits')!.data) <= 5e-5, 'evaluate');
        }
      }
      program.dispose();
    });
  }

  test(`the program lowered from ${name} has the golden values in float64, whole and in chunks`, { skip: withoutFixtures }, () => {
    const file = fixtureJson<ReducedFile>(`models/${name}.json`);
    const tensors = fixtureTensors(`models/${name}.safetensors`);
    const graph = trace(modelOf(file.config), { channels: 3, imageSize: file.config.image, classes: file.config.classes });
    const parameters = graph.parameters.map(({ name, shape }) => fillParameter(file.salt, name, shape));
    for (const mode of reducedModes) {
      const { siteMasks, pathMasks, dropout = 0, blockRates = [] } = reducedRandom(name, mode);
      const { microBatches, lossScale } = goldenStep(file, {});
      const random = {
        seed: 0n,
        step: 0,
        siteRates: new Float64Array(graph.sites.length).fill(dropout),
        pathRates: Float64Array.from(graph.paths, ({ block }) => blockRates[block] ?? 0),
        ...(siteMasks && { siteMasks: graph.sites.map(({ name }) => siteMasks[name]) }),
        ...(pathMasks && { pathMasks: graph.paths.map(({ block, branch }) => pathMasks[`${block}.${branch}`]) }),
      };
      for (const chunk of [4, 3]) {
        const result = runFloat64(lower(graph, chunk), parameters, microBatches, random, lossScale);
        assert.ok(maxAbsoluteDifference(result.logits, tensors.get(`${mode}/logits`)!.data) <= 2e-7, `${mode}: logits`);
        assertGradients(
          graph.parameters.map(({ name }) => name),
          (parameter) => result.gradients[graph.parameters.findIndex(({ name }) => name === parameter)]!,
          (parameter) => tensors.get(`${mode}/grad/${parameter}`)!.data,
          1e-6,
        );
      }
    }
  });
}
