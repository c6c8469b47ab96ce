import { after, test } from 'node:test';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, noWebgpu } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noWebgpu;

test('layer_scale is exact; its gradient is within 1e-6, in place too', { skip }, async () => {
  for (const { n, rows, width } of [
    { n: 2, rows: 3, width: 8 },
    { n: 3, rows: 50, width: 7 },
  ]) {
    const attributes = { rows, width };
    const [x, gamma, dy] = [values(n * rows * width, 1), values(width, 2), values(n * rows * width, 3)];
    const y = n * rows * width;
    for (const asserted of [assertMatchesFloat64, assertMatchesInHalves]) {
      await asserted({ kernel: 'layer_scale', attributes, inputs: { x, gamma }, outputs: { y }, n, inPlace: 'x' }, 1e-7);
      const gradient = { attributes, inputs: { x, gamma, dy }, outputs: { y, gamma: values(width, 4) }, n };
      for (const inPlace of ['x', 'dy']) await asserted({ ...gradient, kernel: 'layer_scale_grad', inPlace }, 1e-6);
    }
  }
});
