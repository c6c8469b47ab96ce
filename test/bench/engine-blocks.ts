/** The engine's side of the benchmark: a compiled program that steps for so many seconds and says where they went. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { KernelCall, MicroBatch } from '#engine/executable.js';
import { type CompileOptions, compile, type PreparedImages, type Program } from '#engine/index.js';
import type { FinishPlan } from '#native/pixels.js';
import { elements } from '#nn/tensor.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { blockRates } from '#schedule/index.js';
import { adamw } from '../support/adamw.js';
import type { TrainingCase } from './training-case.js';

const CLASSES = 1000;
const WARM_UP_STEPS = 3;
/** Kernel calls of one step that are recorded: chunks of a few hundred calls each. */
export const MOST_CALLS = 1 << 20;

/** Seconds of one step; the parts need not make up the whole. */
export interface StepTimes {
  step: number;
  finish: number;
  forward: number;
  backward: number;
  optimizer: number;
}

/** Every image mixed with another; every fourth erased in a box, the recipe's share. In evaluation only normalised. */
function finishPlan({ batch, imageSize, forward }: TrainingCase): FinishPlan {
  const side = Math.floor(imageSize / 3);
  return {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    samples: Array.from({ length: batch }, (_, i) => ({
      erase:
        forward || i % 4 !== 0 ? [] : [{ mode: 'pixel' as const, key: [i, 1], box: 0, top: side, left: side, height: side, width: side }],
      mix: forward ? { lambda: 1, partner: i, box: null } : { lambda: 0.7, partner: batch - 1 - i, box: null },
    })),
  };
}

function pixelsOf(length: number, micro: number): Uint8Array {
  const draws = new PhiloxDraws(purposeKey(BigInt(micro), 'pixels'));
  return Uint8Array.from({ length }, (_, i) => 256 * draws.uniform(i));
}

/** Kibibytes of a line of /proc/self/status, as bytes; undefined where there is no such file. */
function processBytes(line: 'VmRSS' | 'VmHWM'): number | undefined {
  try {
    const [, kibibytes] = new RegExp(`^${line}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}

/** Starts the process's peak over at what is resident now, where the system can. */
function forgetPeak(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // The peak then includes the start of the process.
  }
}

export class EngineBlocks {
  #steps = 0;
  #residentBefore: number | undefined;

  private constructor(
    private readonly options: TrainingCase,
    readonly program: Program,
    private readonly plan: FinishPlan,
    private readonly pixels: readonly Uint8Array[],
    private readonly batches: readonly Omit<MicroBatch, 'images'>[],
  ) {}

  static async create(options: TrainingCase): Promise<EngineBlocks> {
    const { engine, model, imageSize, batch, precision, updateFreq, forward } = options;
    const shapes = { imageSize, classes: CLASSES, batch };
    const chosen = { executor: engine, precision: precision as NonNullable<CompileOptions['precision']>, evaluateOnly: forward };
    const program = await compile(model, shapes, chosen);
    await program.initialize(1n);
    const floats = batch * program.imageFloats;
    const pixels = Array.from({ length: updateFreq }, (_, micro) => pixelsOf(floats, micro));
    const batches = pixels.map((_, micro) => ({
      targets: Float32Array.from({ length: batch * CLASSES }, (_, i) => {
        const [label, other] = [(7 * Math.floor(i / CLASSES)) % CLASSES, (13 * Math.floor(i / CLASSES) + 1) % CLASSES];
        return (i % CLASSES === label ? 0.7 : 0) + (i % CLASSES === other ? 0.3 : 0);
      }),
      samples: batch,
      firstSample: micro * batch,
    }));
    return new EngineBlocks(options, program, finishPlan(options), pixels, batches);
  }

  async warmUp(): Promise<void> {
    if (this.#residentBefore === undefined) {
      forgetPeak();
      this.#residentBefore = processBytes('VmRSS');
    }
    for (let i = 0; i < WARM_UP_STEPS; i++) await this.step();
  }

  /** Steps for at least `seconds`, and `least` of them. */
  async block(seconds: number, least = 1): Promise<StepTimes[]> {
    const times: StepTimes[] = [];
    for (let spent = 0; spent < seconds || times.length < least; ) {
      const one = await this.step();
      times.push(one);
      spent += one.step;
    }
    return times;
  }

  /** How much the process grew over what it held before its first step: bytes at the peak; null where the system does not tell. */
  get grownBytes(): number | null {
    const peak = processBytes('VmHWM');
    return peak === undefined || this.#residentBefore === undefined ? null : peak - this.#residentBefore;
  }

  /** Bytes that an update moves: weight, gradient and two moments read; three of them written; the average read and written. */
  get optimizerBytes(): number {
    return this.program.parameters.reduce((sum, { shape }) => sum + elements(shape), 0) * 4 * (7 + (this.options.ema ? 2 : 0));
  }

  /** The kernel calls of steps that are not part of any block. */
  async kernelCalls(steps: number): Promise<KernelCall[]> {
    const { profiler } = this.program;
    if (profiler === undefined) throw new Error('the engine in use records no profile');
    profiler.start(MOST_CALLS);
    const calls: KernelCall[] = [];
    for (let i = 0; i < steps; i++) {
      await this.step();
      calls.push(...profiler.take().calls);
    }
    profiler.stop();
    return calls;
  }

  dispose(): void {
    this.program.dispose();
  }

  /** One step (or evaluation) with its images finished from uint8 first, or sent to the device that finishes them. */
  async step(): Promise<StepTimes> {
    const { imageSize, forward } = this.options;
    const began = performance.now();
    const prepared: PreparedImages[] = [];
    for (const pixels of this.pixels) prepared.push(await this.program.prepareImages({ pixels, size: imageSize, plan: this.plan }));
    const batches = this.batches.map((batch, micro) => ({ ...batch, images: prepared[micro]!.images }));
    const finished = performance.now();
    const phases = forward ? await this.#evaluate(batches) : await this.#train(batches);
    const ended = performance.now();
    for (const images of prepared) images.release();
    const finish = (finished - began) / 1000;
    const step = (ended - began) / 1000;
    return { step, finish, forward: step - finish, backward: 0, optimizer: 0, ...phases };
  }

  async #evaluate(batches: readonly MicroBatch[]): Promise<Partial<StepTimes>> {
    for (const batch of batches) await this.program.evaluate(batch);
    return {};
  }

  async #train(batches: readonly MicroBatch[]): Promise<Partial<StepTimes>> {
    const { batch, updateFreq, dropout, dropPath, clip, ema } = this.options;
    const step = this.#steps++;
    const { seconds } = await this.program.step({
      microBatches: [...batches],
      random: { seed: 1n, step, dropout, blockRates: [...blockRates(dropPath, this.program.blocks)] },
      lossScale: 1 / (batch * updateFreq),
      optimizer: adamw(step + 1, { clip, learningRate: 1e-4, weightDecay: 0.05, emaDecay: ema ? 0.9999 : -1 }),
    });
    return seconds;
  }
}
