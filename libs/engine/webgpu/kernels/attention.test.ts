import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { KernelName } from '#native/kernel-operands.js';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, type KernelRun, noWebgpu, runKernel } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noWebgpu;

interface Case {
  attributes: Record<string, number>;
  n: number;
  /** Tokens of a sample. */
  tokens: number;
  /** Elements of the dropout site per sample. */
  pairs: number;
  /** Elements of the bias table. */
  table?: number;
}

const whole = (n: number, tokens: number, heads: number, head_dim: number): Case => ({
  attributes: { tokens, heads, head_dim, scale: head_dim ** -0.5 },
  n,
  tokens,
  pairs: heads * tokens * tokens,
});

const inWindows = (n: number, [height, width, window, shift]: [number, number, number, number], heads: number, head_dim: number): Case => ({
  attributes: { height, width, window, shift, heads, head_dim, scale: head_dim ** -0.5 },
  n,
  tokens: height * width,
  pairs: heads * height * width * window * window,
  table: (2 * window - 1) ** 2 * heads,
});

/** Groups smaller and larger than a workgroup; rows of whole vectors and others; windows with and without a shift. */
const cases: Record<'attention' | 'window_attention', Case[]> = {
  attention: [whole(2, 5, 2, 8), whole(1, 70, 1, 16), whole(3, 17, 3, 6), whole(2, 5, 3, 3)],
  window_attention: [inWindows(2, [4, 6, 2, 1], 2, 8), inWindows(1, [6, 6, 3, 0], 1, 5), inWindows(1, [18, 9, 9, 4], 2, 4)],
};
const dropouts = [undefined, { rate: 0.25, site: 2, seed: 99n, step: 7, firstSample: 3 }];

for (const [kernel, all] of Object.entries(cases)) {
  const forward = ({ attributes, n, tokens, pairs, table }: Case, dropout: (typeof dropouts)[0]): KernelRun => {
    const row = attributes.heads! * attributes.head_dim!;
    return {
      kernel: kernel as KernelName,
      attributes,
      inputs: { qkv: values(n * tokens * 3 * row, 1).map((v) => 2 * v), ...(table !== undefined && { table: values(table, 2) }) },
      outputs: { y: n * tokens * row, lse: n * tokens * attributes.heads! },
      n,
      ...(dropout && { dropout: { ...dropout, siteElements: pairs } }),
    };
  };

  const backward = async (before: KernelRun): Promise<KernelRun> => {
    const { y, lse } = await runKernel(before);
    const { qkv, table } = before.inputs;
    return {
      ...before,
      kernel: `${kernel}_grad` as KernelName,
      inputs: { qkv: qkv!, ...(table && { table }), out: y!, lse: lse!, dy: values(y!.length, 3) },
      outputs: { y: qkv!.length, ...(table && { table: values(table.length, 4) }) },
    };
  };

  test(`${kernel} is within 2e-6, with and without dropout`, { skip }, async () => {
    for (const one of all) for (const dropout of dropouts) await assertMatchesFloat64(forward(one, dropout), 2e-6);
  });

  test(`${kernel} and its gradient in bf16 round once what they store; odd heads, too`, { skip }, async () => {
    for (const one of all) {
      const before = forward(one, dropouts[1]);
      await assertMatchesInHalves(before, 2e-6);
      await assertMatchesInHalves(await backward(before), 4e-6);
    }
  });

  test(`${kernel}_grad is within 4e-6, with and without dropout; equal bits run to run`, { skip }, async () => {
    for (const one of all)
      for (const dropout of dropouts) {
        const run = await backward(forward(one, dropout));
        await assertMatchesFloat64(run, 4e-6);
        assert.deepEqual(await runKernel(run), await runKernel(run));
      }
  });
}
