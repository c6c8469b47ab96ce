import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fixtureJson, withoutFixtures } from '../../../test/support/fixtures.js';
import { conventionOf, type Family, familyOf, fromTimm, toTimm } from './timm-names.js';

const known: [string, Family, string, number[], string, number[]][] = [
  ['vit_tiny', 'vit', 'blocks.3.attn.qkv.weight', [576, 192], 'blocks.3.attn.qkv.weight', [576, 192]],
  ['vit_tiny', 'vit', 'head.weight', [10, 192], 'head.weight', [10, 192]],
  ['mixer_s16', 'mixer', 'stem.proj.weight', [512, 3, 16, 16], 'stem.proj.weight', [512, 3, 16, 16]],
  ['swin_tiny', 'swin', 'layers.0.downsample.reduction.weight', [192, 384], 'layers.1.downsample.reduction.weight', [192, 384]],
  ['swin_tiny', 'swin', 'layers.2.downsample.norm.bias', [1536], 'layers.3.downsample.norm.bias', [1536]],
  ['swin_tiny', 'swin', 'layers.2.blocks.5.mlp.fc1.bias', [1536], 'layers.2.blocks.5.mlp.fc1.bias', [1536]],
  ['swin_tiny', 'swin', 'norm.weight', [768], 'norm.weight', [768]],
  ['swin_tiny', 'swin', 'head.bias', [1000], 'head.fc.bias', [1000]],
  ['convnext_tiny', 'convnext', 'downsample_layers.0.0.weight', [96, 3, 4, 4], 'stem.0.weight', [96, 3, 4, 4]],
  ['convnext_tiny', 'convnext', 'downsample_layers.0.1.bias', [96], 'stem.1.bias', [96]],
  ['convnext_tiny', 'convnext', 'downsample_layers.3.1.weight', [768, 384, 2, 2], 'stages.3.downsample.1.weight', [768, 384, 2, 2]],
  ['convnext_tiny', 'convnext', 'stages.2.8.dwconv.weight', [384, 1, 7, 7], 'stages.2.blocks.8.conv_dw.weight', [384, 1, 7, 7]],
  ['convnext_tiny', 'convnext', 'stages.2.8.gamma', [384], 'stages.2.blocks.8.gamma', [384]],
  ['convnext_tiny', 'convnext', 'stages.2.8.pwconv1.weight', [1536, 384], 'stages.2.blocks.8.mlp.fc1.weight', [1536, 384]],
  ['convnext_atto', 'convnext', 'stages.2.5.pwconv2.weight', [160, 640], 'stages.2.blocks.5.mlp.fc2.weight', [160, 640, 1, 1]],
  ['convnext_atto', 'convnext', 'stages.2.5.pwconv2.bias', [160], 'stages.2.blocks.5.mlp.fc2.bias', [160]],
  ['convnext_atto', 'convnext', 'norm.weight', [320], 'head.norm.weight', [320]],
  ['convnext_atto', 'convnext', 'head.weight', [1000, 320], 'head.fc.weight', [1000, 320]],
];

test('names and shapes of both, by example', () => {
  for (const [model, family, name, shape, timmName, timmShape] of known) {
    assert.deepEqual(toTimm(model, family, { name, shape }), { name: timmName, shape: timmShape }, `${model} ${name}`);
    assert.deepEqual(fromTimm(family, { name: timmName, shape: timmShape }), { name, shape }, `${model} ${timmName}`);
  }
});

test('every parameter of the 21 models goes to timm and back', { skip: withoutFixtures }, () => {
  const models = fixtureJson<Record<string, { params: Record<string, number[]> }>>('tables/parameters.json');
  assert.equal(Object.keys(models).length, 21);
  for (const [model, { params }] of Object.entries(models)) {
    const ours = Object.entries(params).map(([name, shape]) => ({ name, shape }));
    const names = ours.map(({ name }) => name);
    const family = familyOf(names);
    assert.equal(family, model.split('_')[0]);
    assert.equal(conventionOf(family, names), 'reference');
    const theirs = ours.map((parameter) => toTimm(model, family, parameter));
    const timmNames = theirs.map(({ name }) => name);
    assert.equal(new Set(timmNames).size, names.length, `${model}: two parameters with one name`);
    assert.equal(familyOf(timmNames), family);
    assert.equal(conventionOf(family, timmNames), family === 'swin' || family === 'convnext' ? 'timm' : 'reference');
    assert.deepEqual(
      theirs.map((parameter) => fromTimm(family, parameter)),
      ours,
      model,
    );
  }
});

test('any name of any depth goes there and back', () => {
  const number = fc.nat({ max: 99 }).map(String);
  const shapes: Record<Family, readonly string[]> = {
    vit: ['blocks.N.mlp.fc1.weight', 'cls_token', 'head.bias', 'norm.weight'],
    mixer: ['blocks.N.mlp_tokens.fc2.bias', 'stem.proj.weight', 'head.weight'],
    swin: ['layers.N.blocks.N.attn.proj.weight', 'layers.N.downsample.norm.weight', 'patch_embed.norm.bias', 'head.weight', 'norm.bias'],
    convnext: [
      'downsample_layers.N.N.weight',
      'stages.N.N.pwconv1.weight',
      'stages.N.N.norm.bias',
      'stages.N.N.gamma',
      'norm.bias',
      'head.bias',
    ],
  };
  for (const [family, patterns] of Object.entries(shapes) as [Family, string[]][]) {
    const names = fc.tuple(fc.constantFrom(...patterns), number, number).map(([text, a, b]) => text.replace('N', a).replace('N', b));
    fc.assert(
      fc.property(names, names, (one, other) => {
        const timm = (name: string) => toTimm(`${family}_x`, family, { name, shape: [4, 2] });
        assert.deepEqual(fromTimm(family, timm(one)), { name: one, shape: [4, 2] });
        assert.equal(timm(one).name === timm(other).name, one === other);
      }),
      { seed: 3, numRuns: 200 },
    );
  }
});
