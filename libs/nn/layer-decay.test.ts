import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fixtureJson, withoutFixtures } from '../../test/support/fixtures.js';
import { hasLayerDecay, layerDecayScales, layerId } from './layer-decay.js';

test("ids and scales are the reference's, parameter by parameter", { skip: withoutFixtures }, () => {
  const table = fixtureJson<{ layer_decay: number; models: Record<string, Record<string, [number, number]>> }>('tables/layer_decay.json');
  assert.ok(Object.keys(table.models).length > 0);
  for (const [model, parameters] of Object.entries(table.models)) {
    assert.ok(hasLayerDecay(model), model);
    const names = Object.keys(parameters);
    const scales = layerDecayScales(model, names, table.layer_decay);
    names.forEach((name, k) => {
      const [id, scale] = parameters[name]!;
      assert.equal(layerId(name), id, name);
      assert.ok(Math.abs(scales[k]! / scale - 1) <= 1e-12, `${name}: ${scales[k]}, expected ${scale}`);
    });
  }
});

test('decay 1 is none for any model; another is refused where there is no rule', () => {
  assert.deepEqual(layerDecayScales('vit_tiny', ['cls_token', 'head.bias'], 1), [1, 1]);
  assert.throws(
    () => layerDecayScales('convnext_tiny', ['head.bias'], 0.9),
    /is not supported for convnext_tiny; supported: convnext_small/,
  );
  assert.throws(() => layerDecayScales('vit_tiny', ['head.bias'], 0.9), RangeError);
});
