/** Reduced models under any salt, in the layout of shared/fixtures/models, with values from the float64 machine of the tests. */

import type { StepRandomness } from '#engine/executable.js';
import { lower } from '#engine/native/lower.js';
import { trace } from '#graph/trace.js';
import { elements } from '#nn/tensor.js';
import { fillInput, fillLabels, fillMask, fillParameter, fillTargets } from '../support/fixtures.js';
import { runFloat64 } from '../support/float64-program.js';
import { type FamilyConfig, modelOf, norm } from '../support/golden-model.js';
import { safetensors, type Tensors } from './plain-fixtures.js';

interface Settings {
  config: FamilyConfig & Record<string, unknown>;
  batch: number;
  rate: number;
  smoothing: number;
  lambda: number;
}

/** The .json and the bytes of the .safetensors. Swin's masks of dropout are stored in another order than ours, so it has no such mode here. */
export function modelFixture(salt: string, { config, batch, rate, smoothing, lambda }: Settings): { json: object; tensors: Buffer } {
  const { image, classes } = config;
  const graph = trace(modelOf(config), { channels: 3, imageSize: image, classes });
  const labels = fillLabels(salt, batch, classes);
  const images = fillInput(salt, [batch, 3, image, image]);
  const targets = fillTargets(labels, classes, smoothing, lambda);
  const parameters = graph.parameters.map(({ name, shape }) => fillParameter(salt, name, shape));
  const tensors: Tensors = new Map([['target', { dtype: 'F64', shape: [batch, classes], data: Float64Array.from(targets) }]]);
  const blocks = Math.max(...graph.paths.map(({ block }) => block)) + 1;
  const rates = Array.from({ length: blocks }, (_, block) => (rate * block) / Math.max(1, blocks - 1));
  const pathMasks = graph.paths.map(({ block, branch }) => fillMask(salt, `path/${block}/${branch}`, batch, rates[block]!));
  const siteMasks = graph.sites.map(({ name, shape }) => fillMask(salt, `site/${name}`, batch * elements(shape), rate));
  const off = { seed: 0n, step: 0, siteRates: new Float64Array(graph.sites.length), pathRates: new Float64Array(graph.paths.length) };

  const mode = (name: string, random: StepRandomness, extra: object) => {
    const micro = [{ images, targets, samples: batch, firstSample: 0 }];
    const result = runFloat64(lower(graph, batch), parameters, micro, random, 1 / batch);
    tensors.set(`${name}/logits`, { dtype: 'F64', shape: [batch, classes], data: result.logits });
    graph.parameters.forEach(({ name: parameter, shape }, i) => {
      tensors.set(`${name}/grad/${parameter}`, { dtype: 'F32', shape: [...shape], data: Float32Array.from(result.gradients[i]!) });
    });
    const loss = result.losses.reduce((a, b) => a + b, 0) / batch;
    return { loss, grad_norm: norm(result.gradients.map(norm)), ...extra };
  };

  const modes: Record<string, object> = {
    eval: mode('eval', off, {}),
    drop_path: mode(
      'drop_path',
      { ...off, pathRates: Float64Array.from(graph.paths, ({ block }) => rates[block]!), pathMasks },
      {
        rate,
        block_rates: rates,
        masks: rates.map((_, block) => graph.paths.flatMap((path, i) => (path.block === block ? [[...pathMasks[i]!]] : []))),
      },
    ),
  };
  if (graph.sites.length > 0 && config.family !== 'swin') {
    const sites = Object.fromEntries(graph.sites.map(({ name, shape }) => [name, [batch, ...shape]]));
    modes.dropout = mode('dropout', { ...off, siteRates: off.siteRates.map(() => rate), siteMasks }, { rate, sites });
    graph.sites.forEach(({ name }, i) => {
      tensors.set(`dropout/mask/${name}`, { dtype: 'U8', shape: sites[name]!, data: siteMasks[i]! });
    });
  }
  const params = Object.fromEntries(graph.parameters.map(({ name, shape }) => [name, shape]));
  const count = parameters.reduce((sum, { length }) => sum + length, 0);
  const facts = { labels, smoothing, lambda, input_first_8: [...images.subarray(0, 8)], parameters: count, params, modes };
  return { json: { config, salt, batch, ...facts }, tensors: safetensors(tensors) };
}
