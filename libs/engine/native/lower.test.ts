import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { trace } from '#graph/trace.js';
import { convnext } from '#nn/models/convnext.js';
import { mixer } from '#nn/models/mixer.js';
import { modelConfig } from '#nn/models/registry.js';
import { swin } from '#nn/models/swin.js';
import { vit } from '#nn/models/vit.js';
import { kernelOf } from './kernel-table.js';
import { lower } from './lower.js';
import type { Instruction, Operand, ProgramSpec } from './program-spec.js';

const classes = 10;
const depth = fc.integer({ min: 1, max: 3 });
const depths = fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 1, maxLength: 3 });

/** Models of all four families, in sizes that a trace takes at once. */
const graphs = fc
  .oneof(
    fc.record({ depth, heads: fc.constantFrom(1, 2) }).map((c) => vit({ ...c, dim: 16, patch: 7, classes })),
    depth.map((d) => mixer({ depth: d, dim: 16, patch: 7, classes })),
    depths.map((d) => swin({ dim: 8, depths: d, heads: d.map(() => 2), patch: 2, window: 7, classes })),
    fc
      .record({ depths, layerScaleInitValue: fc.constantFrom(0, 1e-6) })
      .map((c) => convnext({ ...c, dims: c.depths.map((_, k) => 8 * 2 ** k), patch: 7, classes })),
  )
  .map((model) => trace(model, { channels: 3, imageSize: 56, classes }));

const calls = ({ forward, backward }: ProgramSpec) => [...forward, ...backward];

/** The operands of a call with their names in the kernel table. */
function operandsOf({ kernel, inputs, outputs, attributes }: Instruction) {
  const entry = kernelOf(kernel);
  const of = (slots: typeof entry.inputs, operands: readonly Operand[]) => {
    const present = slots.filter(({ name }) => name !== 'bias' || attributes.bias !== 0);
    return operands.map((operand, at) => ({ ...present[at]!, operand }));
  };
  return [...of(entry.inputs, inputs), ...of(entry.outputs, outputs)];
}

test('bf16: every value is stored as every kernel that touches it allows, and nothing is fp32 without a reason', () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      const spec = lower(graph, 2, { precision: 'bf16' });
      const typeOf = (value: number) => spec.values[value]?.type;
      for (const call of calls(spec)) {
        const slots = operandsOf(call).flatMap((slot) => ('value' in slot.operand ? [{ ...slot, type: typeOf(slot.operand.value) }] : []));
        for (const { name, storage, type } of slots) if (storage === 'fp32') assert.equal(type, 'fp32', `${call.kernel}: ${name}`);
        const alike = slots.filter(({ storage }) => storage === 'alike').map(({ type }) => type);
        assert.ok(new Set(alike).size <= 1, `${call.kernel} has operands of both types`);
        if (/^linear|attention/.test(call.kernel))
          assert.ok(
            alike.every((type) => type === 'bf16'),
            `${call.kernel} is not in bf16`,
          );
      }
    }),
    { numRuns: 40 },
  );
});

test('bf16: the residual stream and its gradient are fp32 from end to end', () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      const spec = lower(graph, 2, { precision: 'bf16' });
      const assertFp32 = (operand: Operand | undefined, what: string) => {
        assert.ok(operand !== undefined && 'value' in operand);
        assert.equal(spec.values[operand.value]?.type, 'fp32', what);
      };
      const paths = new Map<string, number>();
      for (const [pass, instructions] of [
        ['forward', spec.forward],
        ['backward', spec.backward],
      ] as const) {
        for (const { kernel, inputs, outputs, attributes } of instructions) {
          if (kernel === 'gather_kept' || kernel === 'scatter_add_kept') {
            assertFp32(inputs[0], `${pass} ${kernel} reads the stream`);
            if (kernel === 'scatter_add_kept' || attributes.scaled === 0) assertFp32(outputs[0], `${pass} ${kernel} gives the stream`);
            paths.set(`${pass} ${kernel}`, (paths.get(`${pass} ${kernel}`) ?? 0) + 1);
          }
          if (kernel === 'add' || kernel === 'add_positions' || kernel === 'prepend_token') assertFp32(outputs[0], kernel);
        }
      }
      for (const what of ['forward gather_kept', 'forward scatter_add_kept', 'backward gather_kept', 'backward scatter_add_kept'])
        assert.equal(paths.get(what), graph.paths.length);
    }),
    { numRuns: 40 },
  );
});

test('bf16 takes two thirds of the memory at most; fp32 has no rounding', () => {
  fc.assert(
    fc.property(graphs, (graph) => {
      const [whole, half] = [lower(graph, 4), lower(graph, 4, { precision: 'bf16' })];
      assert.ok(whole.values.every(({ type }) => type === 'fp32'));
      assert.ok(half.arenaFloats <= whole.arenaFloats * 0.67, `${half.arenaFloats} of ${whole.arenaFloats}`);
      assert.ok(calls(whole).length <= calls(half).length);
    }),
    { numRuns: 20 },
  );
});

test('run again block by block, vit_tiny on chunks of 8 takes a quarter of the arena', () => {
  const graph = trace(modelConfig('vit_tiny', { imageSize: 224, classes: 1000 }), { channels: 3, imageSize: 224, classes: 1000 });
  for (const precision of ['fp32', 'bf16'] as const) {
    const [kept, again] = [lower(graph, 8, { precision }), lower(graph, 8, { precision, checkpointBlocks: true })];
    assert.ok(again.arenaFloats < kept.arenaFloats / 4, `${again.arenaFloats} of ${kept.arenaFloats}`);
    assert.deepEqual(
      again.forward.map(({ kernel }) => kernel),
      kept.forward.map(({ kernel }) => kernel),
    );
  }
});
