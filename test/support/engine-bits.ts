/** Child process of libs/engine/native/program.test.ts: trains a small multilayer network for three steps and prints the hash of everything that came out. */
import { createHash } from 'node:crypto';
import { createProgram } from '#engine/native/program.js';
import type { Operand, ProgramSpec } from '#engine/native/program-spec.js';
import { engineInfo } from '#native/addon.js';

const rows = 19;
const width = 50;
const hidden = 130;
const classes = 10;
const chunkSamples = 4;

const values: ProgramSpec['values'] = [];
let arenaFloats = 0;
function value(elementsPerSample: number): Operand {
  values.push({ offset: arenaFloats, elementsPerSample });
  arenaFloats += Math.ceil((elementsPerSample * chunkSamples) / 16) * 16;
  return { value: values.length - 1 };
}
const [x, dropped, normed, mean, rstd, act, slope, out, pooled, logits, loss, dlogits] = [
  rows * width,
  rows * width,
  rows * width,
  rows,
  rows,
  rows * hidden,
  rows * hidden,
  rows * width,
  width,
  classes,
  1,
  classes,
].map(value) as Operand[] as [Operand, Operand, Operand, Operand, Operand, Operand, Operand, Operand, Operand, Operand, Operand, Operand];
const [dpooled, dout, dpre, dnormed, dx] = [width, rows * width, rows * hidden, rows * width, rows * width].map(value) as [
  Operand,
  Operand,
  Operand,
  Operand,
  Operand,
];
const sizes = [width, width, hidden * width, hidden, width * hidden, width, classes * width, classes];
const param = (index: number): Operand => ({ param: index });
const grad = (index: number): Operand => ({ grad: index });

const spec: ProgramSpec = {
  chunkSamples,
  arenaFloats,
  values,
  parameters: sizes.map((size) => ({ size })),
  paths: 0,
  sites: [{ elementsPerSample: rows * width }],
  imageFloats: rows * width,
  classes,
  forward: [
    {
      kernel: 'patches',
      domain: 0,
      inputs: [{ input: 'images' }],
      outputs: [x],
      attributes: { channels: 1, height: rows, width, patch: 1 },
    },
    { kernel: 'dropout', domain: 0, inputs: [x], outputs: [dropped], attributes: { rows, width }, site: 0 },
    {
      kernel: 'layer_norm',
      domain: 0,
      inputs: [dropped, param(0), param(1)],
      outputs: [normed, mean, rstd],
      attributes: { rows, width, eps: 1e-6 },
    },
    {
      kernel: 'linear',
      domain: 0,
      inputs: [normed, param(2), param(3)],
      outputs: [act, slope],
      attributes: { rows, in: width, out: hidden, gelu: 1, bias: 1 },
    },
    {
      kernel: 'linear',
      domain: 0,
      inputs: [act, param(4), param(5)],
      outputs: [out],
      attributes: { rows, in: hidden, out: width, bias: 1 },
    },
    { kernel: 'mean_tokens', domain: 0, inputs: [out], outputs: [pooled], attributes: { tokens: rows, width } },
    {
      kernel: 'linear',
      domain: 0,
      inputs: [pooled, param(6), param(7)],
      outputs: [logits],
      attributes: { rows: 1, in: width, out: classes, bias: 1 },
    },
    {
      kernel: 'softmax_cross_entropy',
      domain: 0,
      inputs: [logits, { input: 'targets' }],
      outputs: [loss, dlogits],
      attributes: { classes },
    },
  ],
  backward: [
    {
      kernel: 'linear_weight_grad',
      domain: 0,
      inputs: [pooled, dlogits],
      outputs: [grad(6), grad(7)],
      attributes: { rows: 1, in: width, out: classes },
    },
    {
      kernel: 'linear_input_grad',
      domain: 0,
      inputs: [dlogits, param(6)],
      outputs: [dpooled],
      attributes: { rows: 1, in: width, out: classes },
    },
    { kernel: 'mean_tokens_grad', domain: 0, inputs: [dpooled], outputs: [dout], attributes: { tokens: rows, width } },
    {
      kernel: 'linear_weight_grad',
      domain: 0,
      inputs: [act, dout],
      outputs: [grad(4), grad(5)],
      attributes: { rows, in: hidden, out: width },
    },
    {
      kernel: 'linear_input_grad',
      domain: 0,
      inputs: [dout, param(4), slope],
      outputs: [dpre],
      attributes: { rows, in: hidden, out: width, gelu: 1 },
    },
    {
      kernel: 'linear_weight_grad',
      domain: 0,
      inputs: [normed, dpre],
      outputs: [grad(2), grad(3)],
      attributes: { rows, in: width, out: hidden },
    },
    { kernel: 'linear_input_grad', domain: 0, inputs: [dpre, param(2)], outputs: [dnormed], attributes: { rows, in: width, out: hidden } },
    {
      kernel: 'layer_norm_grad',
      domain: 0,
      inputs: [dropped, param(0), mean, rstd, dnormed],
      outputs: [dx, grad(0), grad(1)],
      attributes: { rows, width },
    },
  ],
  logits: (logits as { value: number }).value,
  loss: (loss as { value: number }).value,
};

const wave = (length: number, phase: number) => Float32Array.from({ length }, (_, i) => 0.3 * Math.sin(1.3 * i + phase));
const program = createProgram(spec);
await program.write(
  'weights',
  sizes.map((size, parameter) => ({ parameter, values: wave(size, parameter) })),
);
const samples = 14;
const targets = new Float32Array(samples * classes);
for (let i = 0; i < samples; i++) targets[i * classes + (i % classes)] = 1;
const hash = createHash('sha256');
for (let step = 1; step <= 3; step++) {
  const random = { seed: 99n, step, siteRates: Float64Array.of(0.2), pathRates: new Float64Array(0) };
  const rates = { learningRate: new Float64Array(sizes.length).fill(0.01), weightDecay: new Float64Array(sizes.length).fill(0.05) };
  const optimizer = { kind: 'adamw', beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum: 0, step, clip: 1, emaDecay: 0.9, ...rates } as const;
  // Three leaves: of 5, 5 and 4 samples.
  for (const [index, [from, to]] of (
    [
      [0, 5],
      [5, 10],
      [10, 14],
    ] as const
  ).entries()) {
    const batch = { images: wave((to - from) * rows * width, step + from), targets: targets.slice(from * classes, to * classes) };
    const microBatches = [{ ...batch, samples: to - from, firstSample: from }];
    const output = await program.accumulate({ microBatches, random, lossScale: 1 / samples, index, leaves: 3 });
    hash.update(output.losses).update(output.logits);
  }
  hash.update(String((await program.update(optimizer)).gradNorm));
}
for (const state of ['weights', 'gradients', 'first_moment', 'second_moment', 'ema'] as const) {
  const all = sizes.map((size, parameter) => ({ parameter, values: new Float32Array(size) }));
  await program.read(state, all);
  for (const { values } of all) hash.update(values);
}
program.dispose();
const { isa, threads } = engineInfo();
process.stdout.write(JSON.stringify({ isa, threads, sha256: hash.digest('hex') }));
