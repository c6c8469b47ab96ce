import { after, test } from 'node:test';
import { assertMatchesFloat64, assertMatchesInHalves, values } from '../../../../test/support/webgpu-check.js';
import { closeTestDevice, noWebgpu } from '../../../../test/support/webgpu-kernel.js';

after(closeTestDevice);
const skip = noWebgpu;

/** Maps smaller and larger than the kernel; channels of whole vectors and others; more rows than one thread sums. */
const shapes = [
  { n: 2, height: 5, width: 7, channels: 8, kernel: 3 },
  { n: 1, height: 3, width: 2, channels: 6, kernel: 7 },
  { n: 2, height: 19, width: 9, channels: 5, kernel: 7 },
  { n: 1, height: 1, width: 1, channels: 3, kernel: 1 },
];

test('depthwise_conv and both gradients are within 2e-6', { skip }, async () => {
  for (const { n, ...attributes } of shapes) {
    const { height, width, channels, kernel } = attributes;
    const [size, taps] = [n * height * width * channels, channels * kernel * kernel];
    const [x, weight, bias, dy] = [values(size, 1), values(taps, 2), values(channels, 3), values(size, 4)];
    const outputs = { weight: values(taps, 5), bias: values(channels, 6) };
    for (const asserted of [assertMatchesFloat64, assertMatchesInHalves]) {
      await asserted({ kernel: 'depthwise_conv', attributes, inputs: { x, weight, bias }, outputs: { y: size }, n }, 2e-6);
      await asserted({ kernel: 'depthwise_conv_input_grad', attributes, inputs: { dy, weight }, outputs: { y: size }, n }, 2e-6);
      await asserted({ kernel: 'depthwise_conv_weight_grad', attributes, inputs: { x, dy }, outputs, n }, 2e-6);
    }
  }
});
