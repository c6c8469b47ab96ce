/**
 * A program of its own, since a bad shape can kill the process that TensorFlow lives in: trains a reduced ViT for 50 steps on the executor
 * given as argument, with dropout, stochastic depth, clipping and EMA, and prints one JSON line (FiftySteps).
 */

import { compile, type ExecutorName, executorNames, type NamedTensor, type Program, type StepRequest } from '#engine/index.js';
import { vit } from '#nn/models/vit.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { adamw } from '../support/adamw.js';

export interface FiftySteps {
  executor: string;
  /** Where it ran: instruction set or backend. */
  kernelPath: string;
  losses: number[];
  gradNorms: number[];
  /** All parameters end to end, in order: float32, base64. */
  start: string;
  weights: string;
  ema: string;
}

export const steps = 50;
const [size, classes, batch] = [32, 10, 24];
const model = vit({ dim: 32, depth: 3, heads: 4, patch: 8, classes });

/** Images of class c share a pattern under noise, so that there is something to learn. Four batches, again and again. */
function request(step: number): StepRequest {
  const noise = new PhiloxDraws(purposeKey(BigInt(step % 4), 'images'));
  const length = 3 * size * size;
  const images = Float32Array.from({ length: batch * length }, (_, i) => {
    const label = Math.floor(i / length) % classes;
    return Math.sin((0.1 + 0.05 * label) * (i % length)) + 2 * noise.uniform(i) - 1;
  });
  const targets = Float32Array.from({ length: batch * classes }, (_, i) =>
    Math.floor(i / classes) % classes === i % classes ? 0.91 : 0.01,
  );
  const warmup = Math.min(1, (step + 1) / 10);
  return {
    microBatches: [{ images, targets, samples: batch, firstSample: 0 }],
    random: { seed: 17n, step, dropout: 0.1, blockRates: [0, 0.1, 0.2] },
    lossScale: 1 / batch,
    optimizer: adamw(step + 1, { clip: 1, learningRate: 1e-3 * warmup, weightDecay: 0.05, emaDecay: 0.95 }),
  };
}

function encoded(tensors: readonly NamedTensor[]): string {
  return Buffer.concat(tensors.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength))).toString('base64');
}

async function train(program: Program): Promise<FiftySteps> {
  await program.initialize(3n);
  const { weights: start } = await program.exportState({ ema: false });
  const [losses, gradNorms]: [number[], number[]] = [[], []];
  for (let step = 0; step < steps; step++) {
    const { loss, gradNorm } = await program.step(request(step));
    losses.push(loss);
    gradNorms.push(gradNorm);
  }
  const { weights, ema = [] } = await program.exportState({ ema: true });
  const { executor, kernelPath } = program.fingerprint;
  return { executor, kernelPath, losses, gradNorms, start: encoded(start), weights: encoded(weights), ema: encoded(ema) };
}

if (process.argv[1] === import.meta.filename) {
  const executor = executorNames.find((name) => name === process.argv[2]) satisfies ExecutorName | undefined;
  if (executor === undefined) throw new Error(`an executor of ${executorNames.join(', ')} must be given`);
  const program = await compile(model, { imageSize: size, classes, batch }, { executor });
  try {
    console.log(JSON.stringify(await train(program)));
  } finally {
    program.dispose();
  }
}
