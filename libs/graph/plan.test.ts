import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { modelConfig } from '#nn/models/registry.js';
import { chunkSamples, type MemoryStep, planMemory } from './plan.js';
import { trace } from './trace.js';

/** Runs the steps on an arena that records which value last wrote each float, and fails if a read finds another value there. */
function assertIntact(floats: readonly number[], steps: readonly MemoryStep[], offsets: readonly number[], arenaFloats: number): void {
  const owner = new Int32Array(arenaFloats).fill(-1);
  const cells = (value: number) => owner.subarray(offsets[value], offsets[value]! + floats[value]!);
  for (const [at, { reads, writes }] of steps.entries()) {
    for (const value of reads)
      assert.ok(
        cells(value).every((who) => who === value),
        `step ${at}: value ${value} was overwritten`,
      );
    for (const value of writes)
      assert.ok(cells(value).length === floats[value] && offsets[value]! % 16 === 0, `value ${value} is inside the arena`);
    for (const value of writes) cells(value).fill(value);
    for (const value of writes)
      assert.ok(
        cells(value).every((who) => who === value),
        `step ${at}: outputs overlap`,
      );
  }
}

test('no value is overwritten before its last use, whatever the program', () => {
  const program = fc
    .array(
      fc.record({
        picks: fc.array(fc.nat(1000), { maxLength: 3 }),
        floats: fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 2 }),
        inPlace: fc.boolean(),
      }),
      {
        minLength: 1,
        maxLength: 30,
      },
    )
    .map((calls) => {
      const floats: number[] = [];
      const steps = calls.map(({ picks, floats: outputs, inPlace }): MemoryStep => {
        const reads = floats.length === 0 ? [] : [...new Set(picks.map((pick) => pick % floats.length))];
        const writes = outputs.map((size) => floats.push(size) - 1);
        const [from, to] = [reads[0], writes[0]];
        return inPlace && from !== undefined && to !== undefined ? { reads, writes, inPlace: { from, to } } : { reads, writes };
      });
      return { floats, steps };
    });
  fc.assert(
    fc.property(program, ({ floats, steps }) => {
      const { offsets, arenaFloats } = planMemory(floats, steps);
      assertIntact(floats, steps, offsets, arenaFloats);
    }),
    { numRuns: 500 },
  );
});

test('memory is reused if the input is not read later, and only then', () => {
  const chain = (last: number[]): MemoryStep[] => [
    { reads: [], writes: [0] },
    { reads: [0], writes: [1], inPlace: { from: 0, to: 1 } },
    { reads: last, writes: [2] },
  ];
  const dead = planMemory([32, 32, 16], chain([1]));
  assert.equal(dead.offsets[0], dead.offsets[1]);
  assert.equal(dead.arenaFloats, 48);
  const alive = planMemory([32, 32, 16], chain([0, 1]));
  assert.notEqual(alive.offsets[0], alive.offsets[1]);
  const pinned = planMemory([32, 32, 16], chain([1]), new Map([[0, 2]]));
  assert.notEqual(pinned.offsets[0], pinned.offsets[1]);
  assert.throws(() => planMemory([16], [{ reads: [0], writes: [] }]), /value 0 is read at step 0/);
});

test('chunks depend on shapes only: 8 samples of 197 tokens, more of short sequences, the batch split evenly', () => {
  const graph = (name: string, imageSize: number) =>
    trace(modelConfig(name, { imageSize, classes: 10 }), { channels: 3, imageSize, classes: 10 });
  assert.equal(chunkSamples(graph('vit_tiny', 224), 64), 8);
  assert.equal(chunkSamples(graph('vit_tiny', 224), 3), 3);
  assert.equal(chunkSamples(graph('vit_nano_p7', 28), 64), 64);
  assert.equal(chunkSamples(graph('vit_nano_p7', 28), 100), 50);
  assert.equal(chunkSamples(graph('vit_tiny', 512), 64), 2);
  // Later stages have few rows and most of the weights; the first has 56·56.
  assert.equal(chunkSamples(graph('swin_tiny', 224), 64), 4);
  assert.equal(chunkSamples(graph('convnext_femto', 224), 64), 4);
  assert.equal(chunkSamples(graph('mixer_s16', 224), 64), 8);
});
