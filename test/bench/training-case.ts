/** What is measured: one line of options. */
import { parseArgs } from 'node:util';
import { defaultImageSize, modelNames } from '#nn/models/registry.js';

/** The lines of a usage text for the options that parseCase reads. */
export const caseUsage = `  --engine NAME      native, or webgpu on the GPU that DROPSTREAM_GPU names (default native)
  --model NAME       (default vit_tiny)
  --precision NAME   fp32 or bf16 (default fp32)
  --batch N          samples of a micro-batch (default 32)
  --update_freq N    micro-batches of an optimizer step (default 1)
  --drop_path P      stochastic depth of the last block, linear over blocks (default 0)
  --dropout P        rate of every dropout site (default 0)
  --ema              keep a moving average of the weights
  --clip N           clip the gradient to this norm
  --forward          evaluation: the forward pass only`;

export const usage = `npm run bench:train -- [options]

${caseUsage}
  --seconds N        how long each side is measured (default 40)
  --peer             measure PyTorch where its script has the model, in turns of 4 s with the engine

DROPSTREAM_THREADS and DROPSTREAM_ISA choose threads and instruction set. Nothing else should run meanwhile. A step of the engine includes
finishing the images from uint8 (normalise, erase, mix); PyTorch's step gets them finished. The last line is one JSON object.`;

export interface TrainingCase {
  engine: 'native' | 'webgpu';
  model: string;
  precision: string;
  batch: number;
  updateFreq: number;
  dropPath: number;
  dropout: number;
  ema: boolean;
  clip: number;
  forward: boolean;
  seconds: number;
  peer: boolean;
  imageSize: number;
}

export class UsageError extends Error {}

export function numberOf(option: string, text: string, allowed: string, allows: (value: number) => boolean): number {
  const value = Number(text);
  if (text.trim() === '' || !allows(value))
    throw new UsageError(`--${option}: ${JSON.stringify(text)} is not allowed; allowed: ${allowed}`);
  return value;
}

/** A whole number from 1 to 4096. Throws UsageError. */
export const countOf = (option: string, text: string): number =>
  numberOf(option, text, 'whole numbers from 1 to 4096', (n) => Number.isInteger(n) && n >= 1 && n <= 4096);

/** Throws UsageError. */
export const trainingCase = (args: string[]): TrainingCase => parseCase(args, {}).options;

type OwnOptions = Readonly<Record<string, { type: 'string' | 'boolean' }>>;

/** The case, and the values of a command's own options. Throws UsageError. */
export function parseCase(args: string[], own: OwnOptions): { options: TrainingCase; own: Record<string, string | boolean | undefined> } {
  let values: Record<string, string | boolean | undefined>;
  try {
    ({ values } = parseArgs({
      args,
      options: {
        engine: { type: 'string' },
        model: { type: 'string' },
        precision: { type: 'string' },
        batch: { type: 'string' },
        update_freq: { type: 'string' },
        drop_path: { type: 'string' },
        dropout: { type: 'string' },
        ema: { type: 'boolean' },
        clip: { type: 'string' },
        forward: { type: 'boolean' },
        seconds: { type: 'string' },
        peer: { type: 'boolean' },
        ...own,
      },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const text = (option: string, otherwise: string) => String(values[option] ?? otherwise);
  const count = (option: string, otherwise: string) => countOf(option, text(option, otherwise));
  const rate = (option: string) => numberOf(option, text(option, '0'), '[0, 1)', (p) => p >= 0 && p < 1);
  const model = text('model', 'vit_tiny');
  if (!modelNames().includes(model)) throw new UsageError(`--model: ${model} is not one of ${modelNames().join(', ')}`);
  const engine = text('engine', 'native');
  if (engine !== 'native' && engine !== 'webgpu') throw new UsageError(`--engine: ${engine} is not one of native, webgpu`);
  const precision = text('precision', 'fp32');
  if (!['fp32', 'bf16'].includes(precision)) throw new UsageError(`--precision: ${precision} is not one of fp32, bf16`);
  const result: TrainingCase = {
    engine,
    model,
    precision,
    batch: count('batch', '32'),
    updateFreq: count('update_freq', '1'),
    dropPath: rate('drop_path'),
    dropout: rate('dropout'),
    ema: values.ema === true,
    clip: numberOf('clip', text('clip', '0'), 'at least 0', (n) => n >= 0 && Number.isFinite(n)),
    forward: values.forward === true,
    seconds: numberOf('seconds', text('seconds', '40'), '0.1 to 3600', (n) => n >= 0.1 && n <= 3600),
    peer: values.peer === true,
    imageSize: defaultImageSize(model),
  };
  if (result.peer && result.updateFreq > 1) throw new UsageError('--peer: PyTorch is measured with --update_freq 1 only');
  return { options: result, own: values };
}
