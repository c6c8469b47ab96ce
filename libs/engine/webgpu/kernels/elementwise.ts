/** Kernels that work element by element. */
import { FLAT, flatGroups, type KernelGenerator, shader } from './kernel.js';

/** y = a + b. */
export const add: KernelGenerator = (call) => {
  const { rows = 1, width = 1 } = call.attributes;
  // A thread takes two elements, so that it can store them as one word of bf16. An odd last element has padding behind it.
  const pairs = (n: number) => Math.ceil((n * rows * width) / 2);
  return {
    dispatches: [
      shader(call, {
        label: 'add',
        operands: { a: 'in.a', b: 'in.b', y: 'out.y' },
        workgroupSize: 64,
        workgroups: (n) => flatGroups(pairs(n)),
        declarations: FLAT,
        body: `
  let i = flat_index(id, groups);
  if (2u * i >= call.n * ${rows * width}u) { return; }
  store2_y(i, load2_a(i) + load2_b(i));`,
      }),
    ],
  };
};
