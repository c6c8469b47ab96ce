import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { modelConfig } from '#nn/models/registry.js';
import { blockRates } from '#schedule/index.js';
import { flopPerSample } from './multiply-adds.js';

const graphOf = (name: string) =>
  trace(modelConfig(name, { imageSize: 224, classes: 1000 }), { channels: 3, imageSize: 224, classes: 1000 });
const none = new Float64Array(64);

test('ViT-T/16: the operations of its products and attention, forward and backward', () => {
  const graph = graphOf('vit_tiny');
  const [patches, tokens, dim, depth] = [196, 197, 192, 12];
  const embed = 2 * patches * 768 * dim;
  const block = 2 * tokens * dim * (3 * dim + dim + 4 * dim + 4 * dim);
  const attention = 2 * tokens ** 2 * dim;
  const head = 2 * dim * 1000;
  const forward = embed + depth * (block + 2 * attention) + head;
  assert.equal(flopPerSample(graph, { backward: false, blockRates: none }), forward);
  // Every product twice more, but none at the pixels; attention's scores are computed again.
  const backward = embed + depth * (2 * block + 5 * attention) + 2 * head;
  assert.equal(flopPerSample(graph, { backward: true, blockRates: none }), forward + backward);
});

test('a branch counts by the share of samples it keeps', () => {
  const graph = graphOf('vit_tiny');
  const all = flopPerSample(graph, { backward: true, blockRates: none });
  const outside = flopPerSample(graph, { backward: true, blockRates: new Float64Array(64).fill(1) });
  const half = flopPerSample(graph, { backward: true, blockRates: blockRates(0.5, 12) });
  assert.ok(outside > 0 && outside < 0.05 * all);
  // Linear over the blocks: a quarter is dropped on average.
  assert.ok(Math.abs(half - (outside + 0.75 * (all - outside))) < 1e-9 * all);
});

// timm's figures for a forward pass at 224, in 10⁹ multiply-adds.
for (const [name, billions] of [
  ['mixer_s16', 3.79],
  ['mixer_s32', 1.0],
  ['convnext_femto', 0.79],
] as const) {
  test(`${name}: as many as timm counts`, () => {
    const multiplyAdds = flopPerSample(graphOf(name), { backward: false, blockRates: none }) / 2e9;
    assert.ok(Math.abs(multiplyAdds / billions - 1) < 0.02, `${multiplyAdds}`);
  });
}
