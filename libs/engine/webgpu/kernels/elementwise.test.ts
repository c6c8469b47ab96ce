import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { closeTestDevice, noWebgpu, runKernel } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noWebgpu;

test('add is the sum of every pair of elements, in place too', { skip }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({ n: fc.integer({ min: 1, max: 5 }), rows: fc.integer({ min: 1, max: 9 }), width: fc.integer({ min: 1, max: 70 }) }),
      fc.constantFrom('a', 'b', undefined),
      async ({ n, rows, width }, inPlace) => {
        const length = n * rows * width;
        const a = Float32Array.from({ length }, (_, i) => Math.sin(i));
        const b = Float32Array.from({ length }, (_, i) => Math.cos(3 * i));
        const { y } = await runKernel({
          kernel: 'add',
          attributes: { rows, width },
          inputs: { a, b },
          outputs: { y: length },
          n,
          ...(inPlace && { inPlace }),
        });
        assert.deepEqual(
          y,
          a.map((value, i) => value + b[i]!),
        );
      },
    ),
    { numRuns: 20 },
  );
});
