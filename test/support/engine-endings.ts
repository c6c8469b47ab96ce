/** Child process of libs/engine/native/program.test.ts: the ways a program ends without dispose. Prints "<ending> ok"; a crash shows as the exit status. */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Executable } from '#engine/executable.js';
import { createProgram } from '#engine/native/program.js';
import type { ProgramSpec } from '#engine/native/program-spec.js';

const width = 512;
const classes = 64;
const chunkSamples = 512;
const spec: ProgramSpec = {
  chunkSamples,
  arenaFloats: chunkSamples * (width + 2 * classes + 16),
  values: [
    { offset: 0, elementsPerSample: width },
    { offset: chunkSamples * width, elementsPerSample: classes },
    { offset: chunkSamples * (width + classes), elementsPerSample: classes },
    { offset: chunkSamples * (width + 2 * classes), elementsPerSample: 1 },
  ],
  parameters: [{ size: width * classes }, { size: 4_000_000 }],
  paths: 0,
  sites: [],
  imageFloats: width,
  classes,
  forward: [
    {
      kernel: 'patches',
      domain: 0,
      inputs: [{ input: 'images' }],
      outputs: [{ value: 0 }],
      attributes: { channels: 1, height: 1, width, patch: 1 },
    },
    {
      kernel: 'linear',
      domain: 0,
      inputs: [{ value: 0 }, { param: 0 }],
      outputs: [{ value: 1 }],
      attributes: { rows: 1, in: width, out: classes },
    },
    {
      kernel: 'softmax_cross_entropy',
      domain: 0,
      inputs: [{ value: 1 }, { input: 'targets' }],
      outputs: [{ value: 3 }, { value: 2 }],
      attributes: { classes },
    },
  ],
  backward: [
    {
      kernel: 'linear_weight_grad',
      domain: 0,
      inputs: [{ value: 0 }, { value: 2 }],
      outputs: [{ grad: 0 }],
      attributes: { rows: 1, in: width, out: classes },
    },
  ],
  logits: 1,
  loss: 3,
};

const samples = 20_000;
const images = new Float32Array(samples * width);
const targets = new Float32Array(samples * classes);
const random = { seed: 1n, step: 1, siteRates: new Float64Array(0), pathRates: new Float64Array(0) };
const leaf = { microBatches: [{ images, targets, samples, firstSample: 0 }], random, lossScale: 1, index: 0, leaves: 1 };
const longStep = (program: Executable) => program.accumulate(leaf);

async function collect(): Promise<void> {
  const data = new Float32Array(4_000_000).fill(1);
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 40; i++) {
    await createProgram(spec).write('weights', [{ parameter: 1, values: data }]); // 16 MB each, 640 MB if they stayed
    (globalThis as unknown as { gc(): void }).gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const grown = process.memoryUsage().rss - before;
  if (grown > 250e6) throw new Error(`40 dropped programs hold ${grown} bytes`);
}

const ending = process.argv[2];
if (ending === 'collect') await collect();
if (ending === 'exit') {
  const program = createProgram(spec);
  process.on('exit', () => process.stdout.write('exit ok'));
  for (let i = 0; i < 3; i++) void longStep(program);
  setTimeout(() => process.exit(0), 5);
} else if (ending === 'thread') {
  // A worker thread (plain JavaScript: loaders of TypeScript do not reach it) ends in the middle of its program's step; then the same
  // addon still works here.
  const inside = `const { parentPort, workerData } = require('node:worker_threads');
    const addon = require(workerData.addon);
    const handle = addon.createProgram(workerData.spec);
    addon.programAccumulate(handle, workerData.leaf).then(() => parentPort.postMessage('done'));
    parentPort.postMessage('running');`;
  const addon = fileURLToPath(new URL('../../libs/native/build/Release/dropstream.node', import.meta.url));
  const worker = new Worker(inside, { eval: true, workerData: { addon, spec, leaf } });
  const message = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  if (message !== 'running') throw new Error(`unexpected ${String(message)}`);
  await worker.terminate();
  const program = createProgram(spec);
  await longStep(program);
  process.stdout.write('thread ok');
} else {
  process.stdout.write(`${ending} ok`);
}
