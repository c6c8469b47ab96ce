import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { assertChecks } from '../../test/support/checks.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { fillParameter, fixtureJson, fixtureTensors, publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { runFloat64 } from '../../test/support/float64-program.js';
import {
  assertGradients,
  goldenStep,
  maxAbsoluteDifference,
  modelOf,
  modesOf,
  type ReducedFile,
  reducedChecks,
  reducedRandom,
} from '../../test/support/golden-model.js';
import { lower } from './native/lower.js';

const cases = withoutFixtures ? [] : publicFixtures.files().flatMap((file) => /^models\/(.+)\.json$/.exec(file)?.slice(1) ?? []);

for (const name of cases) {
  const file = fixtureJson<ReducedFile>(`models/${name}.json`);
  for (const executor of testedExecutors) {
    test(`${executor}: the reduced ${name} has PyTorch's logits, loss and gradients in every mode`, {
      skip: withoutExecutor(executor),
    }, async () => {
      for (const mode of modesOf(file))
        assertChecks(await reducedChecks(publicFixtures, name, mode, { executor, precision: 'fp32' }), mode);
    });
  }

  test(`the program lowered from ${name} has the golden values in float64, whole and in chunks`, () => {
    const tensors = fixtureTensors(`models/${name}.safetensors`);
    const graph = trace(modelOf(file.config), { channels: 3, imageSize: file.config.image, classes: file.config.classes });
    const parameters = graph.parameters.map(({ name, shape }) => fillParameter(file.salt, name, shape));
    for (const mode of modesOf(file)) {
      const { siteMasks, pathMasks, dropout = 0, blockRates = [] } = reducedRandom(file, tensors, mode);
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
        assert.ok(maxAbsoluteDifference(result.logits, tensors.get(`${mode}/logits`).data) <= 2e-7, `${mode}: logits`);
        assertGradients(
          graph.parameters.map(({ name }) => name),
          (parameter) => result.gradients[graph.parameters.findIndex(({ name }) => name === parameter)]!,
          (parameter) => tensors.get(`${mode}/grad/${parameter}`).data,
          1e-6,
        );
      }
    }
  });
}
