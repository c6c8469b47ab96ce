/**
 * Compares every gradient rule with finite differences of the float64 machine, and every executor with that machine's gradients.
 * The models are small. Together, they have every operation in every position: with and without bias, dropout and drop path.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { trace } from '#graph/trace.js';
import { normal } from '#nn/initialisation.js';
import { mlp } from '#nn/layers/mlp.js';
import { patchEmbed } from '#nn/layers/patch-embed.js';
import { selfAttention } from '#nn/layers/self-attention.js';
import { type Model, type ModelInputs, model } from '#nn/model.js';
import { vit } from '#nn/models/vit.js';
import { add } from '#nn/ops/add.js';
import { addPositions } from '#nn/ops/add-positions.js';
import { depthwiseConv } from '#nn/ops/depthwise-conv.js';
import { dropout } from '#nn/ops/dropout.js';
import { gelu } from '#nn/ops/gelu.js';
import { layerNorm } from '#nn/ops/layer-norm.js';
import { layerScale } from '#nn/ops/layer-scale.js';
import { linear } from '#nn/ops/linear.js';
import { meanTokens } from '#nn/ops/mean-tokens.js';
import { mergePatches } from '#nn/ops/merge-patches.js';
import { patches } from '#nn/ops/patches.js';
import { prependToken } from '#nn/ops/prepend-token.js';
import { residual } from '#nn/ops/residual.js';
import { takeToken } from '#nn/ops/take-token.js';
import { transposeTokens } from '#nn/ops/transpose-tokens.js';
import { type Windows, windowAttention } from '#nn/ops/window-attention.js';
import { elements, type Tensor } from '#nn/tensor.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { assertChecks, passes } from '../../test/support/checks.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { runFloat64 } from '../../test/support/float64-program.js';
import { roundingChecks, runWithRoundings } from '../../test/support/rounding.js';
import { compile } from './compile.js';
import type { MicroBatch, StepRandomness } from './executable.js';
import { siteMask } from './masks.js';
import { lower } from './native/lower.js';

const [IMAGE, PATCH, WIDTH, CLASSES, BATCH] = [6, 3, 6, 3, 5];

/** Images → tokens [4, WIDTH] → `body` → mean of tokens → head. */
function around(name: string, body: (x: Tensor, inputs: ModelInputs) => Tensor): [string, Model] {
  const build = (inputs: ModelInputs) => {
    const x = body(patchEmbed(inputs.images, PATCH, WIDTH, inputs.param('embed')), inputs);
    return linear(meanTokens(x), CLASSES, inputs.param('head'));
  };
  return [name, model(name, build)];
}

/** Images → a map of IMAGE × IMAGE tokens with `channels` channels → `body` → GELU → mean of tokens → head. */
function onMap(name: string, channels: number, body: (x: Tensor, inputs: ModelInputs) => Tensor): [string, Model] {
  const build = (inputs: ModelInputs) => {
    const x = body(linear(patches(inputs.images, 1), channels, inputs.param('embed')), inputs);
    return linear(meanTokens(gelu(x)), CLASSES, inputs.param('head'));
  };
  return [name, model(name, build)];
}

const grid = { height: IMAGE, width: IMAGE };

function windowed(windows: Windows): (x: Tensor, inputs: ModelInputs) => Tensor {
  return (x, { param, drop }) => {
    const table = param('table').declare([(2 * windows.window - 1) ** 2, 2], normal(1));
    return windowAttention(linear(x, 12, param('qkv')), table, windows, 2, drop('attn_drop'));
  };
}

const models = new Map<string, Model>([
  around('transpose_tokens', (x, { param }) => transposeTokens(linear(transposeTokens(linear(x, 5, param('a'))), 3, param('b')))),
  around('layer_scale', (x, { param }) => layerScale(gelu(x), param('gamma').declare([WIDTH], normal(1)))),
  onMap('depthwise_conv', 2, (x, { param }) => depthwiseConv(depthwiseConv(x, grid, 3, param('a')), grid, 7, param('b'))),
  onMap('merge_patches', 3, (x, { param }) => {
    const half = linear(mergePatches(x, grid, 'as convolution'), 2, param('a'));
    return add(half, linear(mergePatches(x, grid, 'as Swin'), 2, param('b')));
  }),
  onMap('window_attention', 4, windowed({ ...grid, window: 3, shift: 0 })),
  onMap('window_attention, shifted', 4, windowed({ ...grid, window: 3, shift: 1 })),
  onMap('window_attention, one window, in a residual', 4, (x, inputs) =>
    residual(x, inputs.drop.path(1, 0), (y) => windowed({ ...grid, window: 6, shift: 0 })(y, inputs)),
  ),
  around('linear without bias, twice read', (x, { param }) => add(linear(x, WIDTH, param('a'), { bias: null }), x)),
  around('gelu after linear and alone', (x, { param }) => gelu(add(gelu(linear(x, 9, param('a'))), linear(x, 9, param('b'))))),
  around('layer_norm', (x, { param }) => layerNorm(x, param('norm'), { eps: 1e-5 })),
  around('attention', (x, { param, drop }) => selfAttention(x, 2, param('attn'), drop)),
  around('tokens and positions', (x, { param }) => {
    const token = param('token').declare([1, 1, WIDTH], normal(1));
    return addPositions(prependToken(x, token), param('positions').declare([1, 5, WIDTH], normal(1)));
  }),
  around('dropout', (x, { drop }) => dropout(x, drop('site'))),
  around('take_token', (x, { param }) => add(x, addPositions(x, param('p').declare([4, WIDTH], normal(1))))),
  around('residual', (x, { param, drop }) => {
    const once = residual(x, drop.path(0, 0), (y) => layerNorm(y, param('norm')));
    return residual(once, drop.path(1, 0), (y) => mlp(y, 7, param('mlp'), drop('mlp')));
  }),
  [
    'take_token at the end',
    model('take', ({ images, param }) =>
      linear(layerNorm(takeToken(patchEmbed(images, PATCH, WIDTH, param('e')), 2), param('n')), CLASSES, param('h')),
    ),
  ],
  ['vit', vit({ dim: 8, depth: 2, heads: 2, patch: PATCH, classes: CLASSES })],
]);

interface Setting {
  model: Model;
  seed: bigint;
  dropout: number;
  path: number;
  chunk: number;
  step: number;
}

function prepare({ model, seed, dropout, path, chunk, step }: Setting) {
  const graph = trace(model, { channels: 3, imageSize: IMAGE, classes: CLASSES });
  const draws = new PhiloxDraws(purposeKey(seed, 'test'));
  let next = 0;
  const draw = (count: number, scale: number) => Float32Array.from({ length: count }, () => scale * (2 * draws.uniform(next++) - 1));
  const parameters = graph.parameters.map(({ shape }) => draw(elements(shape), 0.7));
  const batch = (samples: number, firstSample: number): MicroBatch => ({
    images: draw(samples * elements(graph.images), 1),
    targets: draw(samples * CLASSES, 1).map(Math.abs),
    samples,
    firstSample,
  });
  const micro = [batch(BATCH, 0), batch(2, BATCH)];
  const random: StepRandomness = {
    seed,
    step,
    siteRates: new Float64Array(graph.sites.length).fill(dropout),
    pathRates: Float64Array.from(graph.paths, ({ block }) => (block === 0 ? path / 2 : path)),
  };
  return { graph, spec: lower(graph, chunk), parameters, micro, random };
}

for (const [name, model] of models) {
  test(`${name}: gradients are the finite differences of the loss`, () => {
    const { graph, spec, parameters, micro, random } = prepare({ model, seed: 3n, dropout: 0.25, path: 0.4, chunk: 4, step: 9 });
    const values = parameters.map((values) => Float64Array.from(values));
    const loss = () => runFloat64(spec, values, micro, random, 0.5).losses.reduce((a, b) => a + b, 0) * 0.5;
    const { gradients } = runFloat64(spec, values, micro, random, 0.5);
    graph.parameters.forEach((parameter, k) => {
      const own = values[k]!;
      for (let picked = 0; picked < Math.min(5, own.length); picked++) {
        const i = Math.floor(((picked + 0.37) * own.length) / Math.min(5, own.length));
        const [middle, h] = [own[i]!, 1e-5];
        own[i] = middle + h;
        const above = loss();
        own[i] = middle - h;
        const slope = (above - loss()) / (2 * h);
        own[i] = middle;
        const gradient = gradients[k]![i]!;
        assert.ok(
          Math.abs(slope - gradient) <= 1e-7 + 1e-6 * Math.abs(slope),
          `${parameter.name}[${i}]: ${gradient}, differences say ${slope}`,
        );
      }
    });
  });
}

for (const executor of testedExecutors) {
  test(`${executor}: losses and gradients equal the float64 machine's for any model, masks drawn from the same counters`, {
    skip: withoutExecutor(executor),
  }, async () => {
    const setting = fc.record({
      name: fc.constantFrom(...models.keys()),
      seed: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      dropout: fc.constantFrom(0, 0.1, 0.5, 0.9),
      path: fc.constantFrom(0, 0.3, 0.95),
      step: fc.nat(2 ** 31),
    });
    await fc.assert(
      fc.asyncProperty(setting, async ({ name, seed, dropout, path, step }) => {
        const model = models.get(name)!;
        const { graph, spec, parameters, micro, random } = prepare({ model, seed, dropout, path, chunk: 4, step });
        const expected = runWithRoundings(spec, parameters, micro, random, 0.5);
        const program = await compile(model, { imageSize: IMAGE, classes: CLASSES, batch: BATCH }, { executor });
        for (const [k, { name }] of graph.parameters.entries()) await program.write('weights', name, parameters[k]!);
        const blockRates = Array.from({ length: program.blocks }, (_, block) => (block === 0 ? path / 2 : path));
        const rates = { blockRates, ...(program.sites.length > 0 && { dropout }) };
        const { logits, losses } = await program.step({ microBatches: micro, random: { seed, step, ...rates }, lossScale: 0.5 });
        const names = graph.parameters.map(({ name }) => name);
        const gradients = (await program.readAll('gradients')).map(({ data }) => data);
        assertChecks(roundingChecks(expected, { logits, losses, gradients }, names));
        const evaluated = await program.evaluate(micro[0]!);
        assertChecks(roundingChecks(runWithRoundings(spec, parameters, [micro[0]!]), evaluated, names), 'evaluation');
        program.dispose();
      }),
      { numRuns: 60 },
    );
  });
}

test('these comparisons detect a gradient that is off by one part in 10 000, and one wrong bit of a dropout mask', () => {
  for (const seed of [1n, 2n, 3n]) {
    const setting = { model: models.get('vit')!, seed, dropout: 0.1, path: 0, chunk: 4, step: 5 };
    const { graph, spec, parameters, micro, random } = prepare(setting);
    const names = graph.parameters.map(({ name }) => name);
    const expected = runWithRoundings(spec, parameters, micro, random, 0.5);
    const failures = (gradients: readonly ArrayLike<number>[]) =>
      roundingChecks(expected, { gradients }, names).filter((check) => !passes(check)).length;
    assert.equal(failures(expected.exact.gradients.map((values) => Float32Array.from(values))), 0);
    const off = expected.exact.gradients.map((values) => Float32Array.from(values, (value) => value * (1 + 1e-4)));
    assert.equal(failures(off), names.length);
    const samples = micro.reduce((total, batch) => total + batch.samples, 0);
    const { shape } = graph.sites[0]!;
    const bits = new Uint8Array(samples * elements(shape));
    for (let sample = 0; sample < samples; sample++) {
      const scales = new Float32Array(elements(shape)).fill(1);
      siteMask(scales, random, 0, sample);
      bits.set(Uint8Array.from(scales, Number), sample * elements(shape));
    }
    const masked = (siteMasks: Uint8Array[]) => runFloat64(spec, parameters, micro, { ...random, siteMasks }, 0.5).gradients;
    assert.equal(failures(masked([bits])), 0);
    for (const bit of [0, 7, bits.length >> 1, bits.length - 1]) {
      const wrong = bits.slice();
      wrong[bit] = 1 - wrong[bit]!;
      assert.ok(failures(masked([wrong])) > 0, `bit ${bit}`);
    }
  }
});
