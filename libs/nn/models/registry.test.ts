import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { fixtureJson, withoutFixtures } from '../../../test/support/fixtures.js';
import { initialValues } from '../initialisation.js';
import { elements, type Parameter } from '../tensor.js';
import { decays } from '../weight-decay-groups.js';
import { defaultImageSize, type ModelOptions, modelConfig, modelFamily, modelNames, UnknownModel } from './registry.js';

function parametersOf(name: string, imageSize: number, classes: number): readonly Parameter[] {
  return trace(modelConfig(name, { imageSize, classes }), { channels: 3, imageSize, classes }).parameters;
}

const count = (parameters: readonly Parameter[]) => parameters.reduce((sum, { shape }) => sum + elements(shape), 0);
test("parameters have the reference's names, shapes, order and count, for every model of the recipe", { skip: withoutFixtures }, () => {
  const table = fixtureJson<Record<string, { count: number; params: Record<string, number[]> }>>('tables/parameters.json');
  assert.equal(Object.keys(table).length, 21);
  for (const [name, { count: expected, params }] of Object.entries(table)) {
    const parameters = parametersOf(name, 224, 1000);
    assert.deepEqual(
      parameters.map(({ name, shape }) => [name, [...shape]]),
      Object.entries(params),
      name,
    );
    assert.deepEqual(
      parameters.map(({ index }) => index),
      [...parameters.keys()],
      name,
    );
    assert.equal(count(parameters), expected, name);
  }
});

test('other image sizes and class counts change what they should', { skip: withoutFixtures }, () => {
  const table = fixtureJson<Record<string, { count: number; changed: Record<string, number[]> }>>('tables/other_sizes.json');
  assert.ok(Object.keys(table).length >= 5);
  for (const [key, { count: expected, changed }] of Object.entries(table)) {
    const [, name = '', imageSize, classes] = /^(.+)@(\d+)\/(\d+)$/.exec(key) ?? [];
    const parameters = parametersOf(name, Number(imageSize), Number(classes));
    assert.equal(count(parameters), expected, key);
    const usual = new Map(parametersOf(name, 224, 1000).map(({ name, shape }) => [name, shape.join()]));
    const different = parameters.filter(({ name, shape }) => usual.get(name) !== shape.join());
    assert.deepEqual(Object.fromEntries(different.map(({ name, shape }) => [name, [...shape]])), changed, key);
  }
});

test('weight decay excludes the same parameters as in the reference', { skip: withoutFixtures }, () => {
  const table = fixtureJson<Record<string, { not_decayed: string[] }>>('tables/weight_decay_groups.json');
  assert.ok(Object.keys(table).length >= 4);
  for (const [name, { not_decayed: expected }] of Object.entries(table)) {
    const undecayed = parametersOf(name, 224, 1000).filter(({ name, shape }) => !decays(name, shape));
    assert.deepEqual(undecayed.map(({ name }) => name).toSorted(), expected.toSorted(), name);
  }
});

test("initial values are distributed as the reference's", { skip: withoutFixtures }, () => {
  type Moments = { std: number; mean: number; min: number; max: number; size: number };
  const table = fixtureJson<Record<string, Record<string, Moments>>>('tables/initialisation.json');
  assert.deepEqual(Object.keys(table).sort(), ['convnext_femto', 'mixer_s16', 'swin_femto', 'vit_tiny']);
  for (const [model, expectations] of Object.entries(table)) {
    const parameters = parametersOf(model, 224, 1000);
    assert.deepEqual(parameters.map(({ name }) => name).sort(), Object.keys(expectations).sort());
    for (const parameter of parameters) {
      // All blocks of a stage are alike, so only the first is checked fully; of the others, kind and size are checked.
      const repeated = /(^|\.)blocks\.[1-9]|^stages\.\d\.[1-9]/.test(parameter.name);
      assertDistributed(`${model} ${parameter.name}`, parameter, expectations[parameter.name]!, repeated);
    }
  }
});

function assertDistributed(
  what: string,
  parameter: Parameter,
  expected: { std: number; mean: number; min: number; max: number; size: number },
  repeated: boolean,
): void {
  const { initializer, shape } = parameter;
  const size = elements(shape);
  assert.equal(size, expected.size, what);
  if (initializer.kind === 'constant') {
    assert.deepEqual([expected.min, expected.max], [Math.fround(initializer.value), Math.fround(initializer.value)], what);
    return;
  }
  // Both sides are random: a std of n values has the deviation 1/√(2n), and a mean std/√n; the tolerance is five times that of the difference.
  const own = initializer.kind === 'normal' ? initializer.std : initializer.bound / Math.sqrt(3);
  assert.ok(Math.abs(own / expected.std - 1) <= 5 / Math.sqrt(2 * size), `${what}: std ${own}, expected ${expected.std}`);
  if (repeated) return;
  const values = initialValues(parameter, 1n);
  const mean = values.reduce((a, b) => a + b, 0) / size;
  const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / size);
  assert.ok(Math.abs(std / expected.std - 1) <= 5 / Math.sqrt(size), `${what}: std ${std}, expected ${expected.std}`);
  assert.ok(Math.abs(mean - expected.mean) <= (5 * Math.SQRT2 * std) / Math.sqrt(size), `${what}: mean ${mean}`);
  if (initializer.kind !== 'uniform') return;
  const bound = Math.max(Math.abs(expected.min), expected.max);
  assert.ok(Math.max(...values.subarray(0, 10_000)) <= bound * (1 + 60 / size), what);
  assert.ok(bound <= initializer.bound * (1 + 1e-6), what);
}

test('initial values depend on the seed and the parameter, and on nothing else', () => {
  const [first, second] = [parametersOf('vit_nano_p7', 28, 10), parametersOf('vit_nano_p7', 28, 10)];
  const qkv = first.findIndex(({ name }) => name === 'blocks.0.attn.qkv.weight');
  assert.deepEqual(initialValues(first[qkv]!, 5n), initialValues(second[qkv]!, 5n));
  assert.notDeepEqual(initialValues(first[qkv]!, 5n), initialValues(first[qkv]!, 6n));
  const other = first.find(({ name }) => name === 'blocks.1.attn.qkv.weight')!;
  assert.notDeepEqual(initialValues(first[qkv]!, 5n), initialValues(other, 5n));
});

test('a model or size that does not exist is rejected, and the error says what is allowed', () => {
  const refused = (name: string, imageSize: number, classes: number, field: string, allowed: RegExp) =>
    assert.throws(
      () => modelConfig(name, { imageSize, classes }),
      (error) => error instanceof UnknownModel && error.field === field && allowed.test(error.message),
    );
  refused('vit_enormous', 224, 10, 'model', /"vit_enormous".*vit_tiny, vit_small/);
  refused('toString', 224, 10, 'model', /vit_tiny/);
  refused('vit_tiny', 225, 10, 'imageSize', /225.*multiples of 16/);
  refused('vit_tiny', 0, 10, 'imageSize', /multiples of 16/);
  refused('vit_nano_p7', 32, 10, 'imageSize', /multiples of 7/);
  refused('vit_tiny', 224, 0, 'classes', /1 to 100000/);
  refused('mixer_s32', 48, 10, 'imageSize', /48.*mixer_s32: multiples of 32/);
  refused('swin_tiny', 192, 10, 'imageSize', /192.*swin_tiny: 224, 448, 672, 896: .*windows of 7/);
  refused('swin_nano_p2', 32, 10, 'imageSize', /32.*28, 56/);
  refused('convnext_tiny', 100, 10, 'imageSize', /multiples of 32/);
  refused('convnext_tiny', 1056, 10, 'imageSize', /up to 1024/);
});

test('every model is built at its own size and, where it takes them, at others', () => {
  const others: Record<string, number[]> = {
    swin_femto: [448],
    swin_nano_p2: [8, 56],
    swin_micro_p2_w4: [16, 64],
    swin_micro_p4_w4: [32, 128],
    convnext_femto: [32, 64, 288, 384],
    convnext_nano_p2: [28, 32, 64],
    convnext_micro_p2: [32, 64],
    convnext_micro_p4: [32, 64],
    mixer_micro_p4: [28, 32],
  };
  assert.deepEqual(
    Object.keys(others).filter((name) => !modelNames().includes(name)),
    [],
  );
  for (const name of modelNames()) {
    for (const imageSize of [defaultImageSize(name), ...(others[name] ?? [])]) {
      const model = modelConfig(name, { imageSize, classes: 7 });
      const { parameters, values, logits } = trace(model, { channels: 3, imageSize, classes: 7 });
      assert.equal(model.name, name);
      assert.deepEqual(values[logits]?.shape, [7], `${name} at ${imageSize}`);
      assert.equal(new Set(parameters.map(({ name }) => name)).size, parameters.length);
    }
  }
  for (const family of ['vit', 'mixer', 'swin', 'convnext'])
    assert.ok(
      modelNames().some((name) => modelFamily(name) === family && defaultImageSize(name) <= 64),
      `a small ${family}`,
    );
});

test('gamma starts at layer_scale_init_value and is absent where that is not above 0; head_init_scale scales the head', () => {
  const build = (options: ModelOptions) =>
    trace(modelConfig('convnext_nano_p2', { imageSize: 28, classes: 10 }, options), { channels: 3, imageSize: 28, classes: 10 }).parameters;
  const gammas = (parameters: readonly Parameter[]) => parameters.filter(({ name }) => name.endsWith('.gamma'));
  assert.deepEqual(
    gammas(build({})).map(({ initializer }) => initializer),
    Array.from({ length: 4 }, () => ({ kind: 'constant', value: 1e-6 })),
  );
  assert.deepEqual(gammas(build({ layerScaleInitValue: 0.1 }))[0]?.initializer, { kind: 'constant', value: 0.1 });
  for (const layerScaleInitValue of [0, -1]) assert.equal(gammas(build({ layerScaleInitValue })).length, 0);
  const head = (options: ModelOptions) => initialValues(build(options).find(({ name }) => name === 'head.weight')!, 1n);
  const plain = head({});
  head({ headInitScale: 0.001 }).forEach((value, i) => {
    assert.ok(Math.abs(value - 0.001 * plain[i]!) <= 1e-6 * Math.abs(value));
  });
});

test('sites and drop paths stand in the order of their counters', () => {
  const { sites, paths } = trace(modelConfig('vit_nano_p7', { imageSize: 28, classes: 10 }), { channels: 3, imageSize: 28, classes: 10 });
  assert.deepEqual(
    sites.slice(0, 5).map(({ name, shape }) => [name, [...shape]]),
    [
      ['pos_drop', [17, 64]],
      ['blocks.0.attn_drop', [4, 17, 17]],
      ['blocks.0.proj_drop', [17, 64]],
      ['blocks.0.mlp_drop1', [17, 256]],
      ['blocks.0.mlp_drop2', [17, 64]],
    ],
  );
  assert.equal(sites.length, 1 + 4 * 4);
  assert.deepEqual(
    paths.map(({ block, branch }) => [block, branch]),
    [0, 1, 2, 3].flatMap((block) => [
      [block, 0],
      [block, 1],
    ]),
  );
});

test('Mixer drops where it is transposed, Swin attention per window, ConvNeXt nowhere; blocks count over all stages', () => {
  const graph = (name: string, imageSize: number) =>
    trace(modelConfig(name, { imageSize, classes: 10 }), { channels: 3, imageSize, classes: 10 });
  const sites = (name: string, imageSize: number) => graph(name, imageSize).sites.map(({ name, shape }) => [name, [...shape]]);
  assert.deepEqual(sites('mixer_nano_p7', 28).slice(0, 4), [
    ['blocks.0.mlp_tokens_drop1', [64, 32]],
    ['blocks.0.mlp_tokens_drop2', [64, 16]],
    ['blocks.0.mlp_channels_drop1', [16, 256]],
    ['blocks.0.mlp_channels_drop2', [16, 64]],
  ]);
  assert.deepEqual(sites('swin_nano_p2', 28).slice(0, 3), [
    ['pos_drop', [196, 32]],
    ['layers.0.blocks.0.attn_drop', [4, 2, 49, 49]],
    ['layers.0.blocks.0.proj_drop', [196, 32]],
  ]);
  assert.deepEqual(sites('convnext_nano_p2', 28), []);
  const blocks = (name: string, imageSize: number) => graph(name, imageSize).paths.map(({ block, branch }) => `${block}.${branch}`);
  assert.deepEqual(blocks('swin_nano_p2', 28), ['0.0', '0.1', '1.0', '1.1', '2.0', '2.1', '3.0', '3.1']);
  assert.deepEqual(blocks('convnext_nano_p2', 28), ['0.0', '1.0', '2.0', '3.0']);
});
