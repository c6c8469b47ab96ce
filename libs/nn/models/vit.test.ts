import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { fixtureJson, withoutFixtures } from '../../../test/support/fixtures.js';
import { initialValues } from '../initialisation.js';
import { elements, type Parameter } from '../tensor.js';
import { decays } from '../weight-decay-groups.js';
import { modelConfig, modelNames, UnknownModel } from './registry.js';

function parametersOf(name: string, imageSize: number, classes: number): readonly Parameter[] {
  return trace(modelConfig(name, { imageSize, classes }), { channels: 3, imageSize, classes }).parameters;
}

const count = (parameters: readonly Parameter[]) => parameters.reduce((sum, { shape }) => sum + elements(shape), 0);
const sizes = ['vit_tiny', 'vit_small', 'vit_base', 'vit_large'];

test("parameters have the reference's names, shapes, order and count", { skip: withoutFixtures }, () => {
  const table = fixtureJson<Record<string, { count: number; params: Record<string, number[]> }>>('tables/parameters.json');
  for (const name of sizes) {
    const parameters = parametersOf(name, 224, 1000);
    const expected = table[name]!;
    assert.deepEqual(
      parameters.map(({ name, shape }) => [name, [...shape]]),
      Object.entries(expected.params),
      name,
    );
    assert.equal(count(parameters), expected.count, name);
  }
});

test('other image sizes and class counts change what they should', { skip: withoutFixtures }, () => {
  const table = fixtureJson<Record<string, { count: number; changed: Record<string, number[]> }>>('tables/other_sizes.json');
  const cases = Object.entries(table).filter(([key]) => key.startsWith('vit'));
  assert.ok(cases.length >= 2);
  for (const [key, { count: expected, changed }] of cases) {
    const [, name = '', imageSize, classes] = /^(.+)@(\d+)\/(\d+)$/.exec(key) ?? [];
    const parameters = parametersOf(name, Number(imageSize), Number(classes));
    assert.equal(count(parameters), expected, key);
    const usual = new Map(parametersOf(name, 224, 1000).map(({ name, shape }) => [name, shape.join()]));
    const different = parameters.filter(({ name, shape }) => usual.get(name) !== shape.join());
    assert.deepEqual(Object.fromEntries(different.map(({ name, shape }) => [name, [...shape]])), changed, key);
  }
});

test("weight decay leaves out what the reference's does", { skip: withoutFixtures }, () => {
  const table = fixtureJson<Record<string, { not_decayed: string[] }>>('tables/weight_decay_groups.json');
  const known = Object.keys(table).filter((name) => modelNames().includes(name));
  assert.ok(known.includes('vit_tiny'));
  for (const name of known) {
    const undecayed = parametersOf(name, 224, 1000).filter(({ name, shape }) => !decays(name, shape));
    assert.deepEqual(undecayed.map(({ name }) => name).toSorted(), table[name]!.not_decayed.toSorted(), name);
  }
});

test("initial values are distributed as the reference's", { skip: withoutFixtures }, () => {
  type Moments = { std: number; mean: number; min: number; max: number; size: number };
  const table = fixtureJson<Record<string, Record<string, Moments>>>('tables/initialisation.json').vit_tiny!;
  const parameters = parametersOf('vit_tiny', 224, 1000).filter(({ name }) => !/^blocks\.([2-9]|1[01])/.test(name));
  for (const parameter of parameters) {
    const values = initialValues(parameter, 1n);
    const expected = table[parameter.name]!;
    assert.equal(values.length, expected.size, parameter.name);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    if (expected.std === 0) {
      assert.deepEqual([mean, std], [expected.mean, 0], parameter.name);
      continue;
    }
    // Both sides are draws: a std over n values is good to 1/√(2n), a mean to std/√n; five times their difference's deviation.
    assert.ok(Math.abs(std / expected.std - 1) <= 5 / Math.sqrt(values.length), `${parameter.name}: std ${std}, expected ${expected.std}`);
    assert.ok(Math.abs(mean - expected.mean) <= (5 * Math.SQRT2 * std) / Math.sqrt(values.length), `${parameter.name}: mean ${mean}`);
    if (parameter.initializer.kind !== 'uniform') continue;
    const bound = Math.max(Math.abs(expected.min), expected.max);
    assert.ok(Math.max(...values.subarray(0, 10_000)) <= bound * (1 + 60 / values.length), parameter.name);
  }
});

test('initial values depend on the seed and the parameter, and on nothing else', () => {
  const [first, second] = [parametersOf('vit_nano_p7', 28, 10), parametersOf('vit_nano_p7', 28, 10)];
  const qkv = first.findIndex(({ name }) => name === 'blocks.0.attn.qkv.weight');
  assert.deepEqual(initialValues(first[qkv]!, 5n), initialValues(second[qkv]!, 5n));
  assert.notDeepEqual(initialValues(first[qkv]!, 5n), initialValues(first[qkv]!, 6n));
  const other = first.find(({ name }) => name === 'blocks.1.attn.qkv.weight')!;
  assert.notDeepEqual(initialValues(first[qkv]!, 5n), initialValues(other, 5n));
});

test('a model or size that does not exist is refused with what is allowed', () => {
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
