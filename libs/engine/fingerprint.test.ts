import assert from 'node:assert/strict';
import { test } from 'node:test';
import { atOnce } from '#bounds/pieces.js';
import { trace } from '#graph/trace.js';
import { modelConfig } from '#nn/models/registry.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { type CompileOptions, compile, planProgram } from './index.js';
import { lower } from './native/lower.js';
import { loweringDigest as digestInPieces } from './native/lowering-digest.js';
import type { ProgramSpec } from './native/program-spec.js';

const shapes = { imageSize: 28, classes: 5, batch: 4 };
const fingerprintOf = async (model: string, given: typeof shapes, options: CompileOptions) =>
  (await planProgram(model, given, options)).fingerprint;
const loweringDigest = (spec: ProgramSpec): string => atOnce(digestInPieces(spec));

for (const executor of testedExecutors) {
  test(`${executor}: the fingerprint without a program is the program's, and tells apart what decides numbers`, {
    skip: withoutExecutor(executor),
  }, async () => {
    const program = await compile('swin_nano_p2', shapes, { executor });
    assert.deepEqual(await fingerprintOf('swin_nano_p2', shapes, { executor }), program.fingerprint);
    program.dispose();
    const build = async (model: string, change: Partial<typeof shapes> = {}) =>
      (await fingerprintOf(model, { ...shapes, ...change }, { executor })).build;
    const all = [
      await build('swin_nano_p2'),
      await build('vit_nano_p7'),
      await build('swin_nano_p2', { classes: 6 }),
      await build('swin_nano_p2', { batch: 3 }), // chunks of other sizes add in another order
    ];
    assert.equal(new Set(all).size, all.length);
    await assert.rejects(fingerprintOf('swin_nano_p2', { ...shapes, batch: 0 }, { executor }), /batch: 0/);
  });
}

test('the digest of a lowering is of kernels, operands, types and attributes; not of places in memory or numbers of values', () => {
  const graph = trace(modelConfig('vit_nano_p7', shapes), { channels: 3, ...shapes });
  const spec = lower(graph, 2, { precision: 'bf16' });
  const digest = loweringDigest(spec);
  const moved = {
    ...spec,
    arenaFloats: 2 * spec.arenaFloats,
    values: spec.values.map((value) => ({ ...value, offset: value.offset + 16 })),
  };
  assert.equal(loweringDigest(moved), digest);
  const shift = (operand: object) => ('value' in operand ? { value: (operand.value as number) + 1 } : operand);
  const renumber = (list: typeof spec.forward) =>
    list.map((one) => ({ ...one, inputs: one.inputs.map(shift), outputs: one.outputs.map(shift) }) as typeof one);
  const renamed = {
    ...spec,
    values: [spec.values[0]!, ...spec.values],
    forward: renumber(spec.forward),
    backward: renumber(spec.backward),
    logits: spec.logits + 1,
    loss: spec.loss + 1,
  };
  assert.equal(loweringDigest(renamed), digest);
  const first = spec.forward[1]!;
  const changed = [
    lower(graph, 2),
    lower(graph, 1, { precision: 'bf16' }),
    { ...spec, forward: spec.forward.with(1, { ...first, attributes: { ...first.attributes, rows: 3 } }) },
    { ...spec, forward: spec.forward.with(1, { ...first, kernel: 'add' as const }) },
    { ...spec, backward: spec.backward.toReversed() },
  ].map(loweringDigest);
  assert.equal(new Set([digest, ...changed]).size, changed.length + 1);
});
