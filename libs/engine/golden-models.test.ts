import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { assertChecks } from '../../test/support/checks.js';
import { mixedExecutors, testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { fillParameter, fixtureJson, fixtureTensors, publicFixtures, withoutFixtures } from '../../test/support/fixtures.js';
import { runFloat64 } from '../../test/support/float64-program.js';
import {
  assertGradients,
  goldenStep,
  gradientChecks,
  logitsChecks,
  maxAbsoluteDifference,
  modelOf,
  modesOf,
  type ReducedFile,
  type ReducedMode,
  reducedChecks,
  reducedRandom,
} from '../../test/support/golden-model.js';
import type { Precision } from './index.js';
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

  for (const executor of mixedExecutors) {
    test(`${executor}: the reduced ${name} in bf16 has them within the tolerances of mixed precision`, {
      skip: withoutExecutor(executor),
    }, async () => {
      for (const mode of modesOf(file)) {
        assertChecks(await reducedChecks(publicFixtures, name, mode, { executor, precision: 'bf16' }), mode);
      }
    });
  }

  test(`the program lowered from ${name} has the golden values in float64, whole and in chunks`, () => {
    for (const mode of modesOf(file)) {
      for (const chunk of [4, 3]) {
        const { result, names, tensors } = inFloat64(mode, chunk, 'fp32');
        assert.ok(maxAbsoluteDifference(result.logits, tensors.get(`${mode}/logits`).data) <= 2e-7, `${mode}: logits`);
        assertGradients(
          names,
          (parameter) => result.gradients[names.indexOf(parameter)]!,
          (parameter) => tensors.get(`${mode}/grad/${parameter}`).data,
          1e-6,
        );
      }
    }
  });

  test(`the program lowered from ${name} in bf16, rounded where it stores bf16 and nowhere else, keeps within half of the tolerances`, () => {
    for (const mode of modesOf(file)) {
      const { result, names, tensors } = inFloat64(mode, 4, 'bf16');
      const checks = [
        ...logitsChecks('logits', result.logits, tensors.get(`${mode}/logits`).data, 'bf16'),
        ...gradientChecks(
          names,
          (parameter) => result.gradients[names.indexOf(parameter)]!,
          (parameter) => tensors.get(`${mode}/grad/${parameter}`).data,
          'bf16',
        ),
      ];
      assertChecks(
        checks.map((check) => ({ ...check, tolerance: check.tolerance / 2 })),
        mode,
      );
    }
  });

  function inFloat64(mode: ReducedMode, chunk: number, precision: Precision) {
    const tensors = fixtureTensors(`models/${name}.safetensors`);
    const graph = trace(modelOf(file.config), { channels: 3, imageSize: file.config.image, classes: file.config.classes });
    const parameters = graph.parameters.map(({ name, shape }) => fillParameter(file.salt, name, shape));
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
    const result = runFloat64(lower(graph, chunk, { precision }), parameters, microBatches, random, lossScale);
    return { result, names: graph.parameters.map(({ name }) => name), tensors };
  }
}
