/**
 * A training of a reduced ViT that a software GPU can do in a test: the order of the epochs is that of data plans, dropout and stochastic depth are
 * early and linear, with warm-up, accumulation, clipping and EMA.
 */
import { createHash } from 'node:crypto';
import { epochPermutation } from '#data/plan/order.js';
import { compile, type ExecutorName, type Precision, type Program, type StepRequest } from '#engine/index.js';
import { vit } from '#nn/models/vit.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { blockRates, dropRate, learningRate } from '#schedule/index.js';
import { adamw } from './adamw.js';

const [size, classes, samples, microBatch, updateFreq] = [16, 10, 240, 8, 3];
const batch = microBatch * updateFreq;
const stepsPerEpoch = samples / batch;
const [depth, seed] = [3, 29n];
const floats = 3 * size * size;
const allSamples = { stride: 0, offset: 0, invert: false };

const noise = new PhiloxDraws(purposeKey(1n, 'small-training'));

/** Image `sample`: the stripes of its class under noise. */
function image(sample: number): Float32Array {
  const angle = (Math.PI * (sample % classes)) / classes;
  return Float32Array.from({ length: floats }, (_, i) => {
    const along = Math.cos(angle) * (i % size) + Math.sin(angle) * (Math.floor(i / size) % size);
    return Math.sin(0.9 * along) + 2 * noise.uniform(sample * floats + i) - 1;
  });
}

const images = Array.from({ length: samples }, (_, sample) => image(sample));

/** Step `step` of a training of this many steps. */
export function smallStep(step: number, steps: number): Omit<StepRequest, 'optimizer'> & Required<Pick<StepRequest, 'optimizer'>> {
  const length = { epochs: Math.max(2, Math.ceil(steps / stepsPerEpoch)), stepsPerEpoch };
  const early = { mode: 'early', schedule: 'linear', cutoffEpoch: Math.ceil(length.epochs / 2) } as const;
  const order = epochPermutation('0'.repeat(64), allSamples, seed, Math.floor(step / stepsPerEpoch), samples);
  const first = (step % stepsPerEpoch) * batch;
  const microBatches = Array.from({ length: updateFreq }, (_, k) => {
    const chosen = Array.from({ length: microBatch }, (_, i) => order(first + k * microBatch + i));
    const pixels = new Float32Array(microBatch * floats);
    const targets = new Float32Array(microBatch * classes).fill(0.1 / classes);
    for (const [i, sample] of chosen.entries()) {
      pixels.set(images[sample]!, i * floats);
      targets[i * classes + (sample % classes)]! += 0.9;
    }
    return { images: pixels, targets, samples: microBatch, firstSample: k * microBatch };
  });
  return {
    microBatches,
    random: {
      seed,
      step,
      dropout: dropRate({ rate: 0.1, ...early }, length).at(step),
      blockRates: [...blockRates(dropRate({ rate: 0.2, ...early }, length).at(step), depth)],
    },
    lossScale: 1 / batch,
    optimizer: adamw(step + 1, {
      clip: 1,
      learningRate: learningRate({ lr: 1e-3, warmupEpochs: 1 }, length).at(step),
      weightDecay: 0.05,
      emaDecay: 0.99,
    }),
  };
}

/** The program of the training, with its initial weights. */
export async function smallProgram(executor: ExecutorName, precision: Precision = 'fp32'): Promise<Program> {
  const model = vit({ dim: 32, depth, heads: 4, patch: 4, classes });
  const program = await compile(model, { imageSize: size, classes, batch: microBatch }, { executor, precision });
  await program.initialize(3n);
  return program;
}

export interface SmallTraining {
  /** Mean loss of every step. */
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  /** SHA-256 of the weights, moments and moving average at the end. */
  readonly state: string;
}

export async function smallTraining(
  executor: ExecutorName,
  steps: number,
  { precision, gradientScale }: { precision?: Precision; gradientScale?: number } = {},
): Promise<SmallTraining> {
  const program = await smallProgram(executor, precision);
  try {
    const [losses, gradNorms]: [number[], number[]] = [[], []];
    for (let step = 0; step < steps; step++) {
      const { loss, gradNorm } = await program.step({ ...smallStep(step, steps), ...(gradientScale && { gradientScale }) });
      losses.push(loss);
      gradNorms.push(gradNorm);
    }
    const hash = createHash('sha256');
    for (const tensors of Object.values(await program.exportState({ ema: true }))) for (const { data } of tensors) hash.update(data);
    return { losses, gradNorms, state: hash.digest('hex') };
  } finally {
    program.dispose();
  }
}
