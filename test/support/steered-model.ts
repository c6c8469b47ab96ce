/** A model whose gradient is whatever a test asks for: optimizers are compared through the engine, as training uses them. */
import type { OptimizerStep, Program } from '#engine/index.js';
import { normal } from '#nn/initialisation.js';
import { type Model, model } from '#nn/model.js';
import { add } from '#nn/ops/add.js';
import { addPositions } from '#nn/ops/add-positions.js';
import { gelu } from '#nn/ops/gelu.js';
import { patches } from '#nn/ops/patches.js';
import { takeToken } from '#nn/ops/take-token.js';
import { type Check, same } from './checks.js';
import type { FixtureFolder } from './fixture-folder.js';
import { fillUnits } from './fixtures.js';
import { type Engine, withProgram } from './golden-model.js';

type Values = Record<string, number[]>;

export interface OptimizerFile {
  salt: string;
  shapes: Record<string, number[]>;
  initial: Values;
  cases: {
    case: {
      name: string;
      opt: 'adamw' | 'sgd' | 'momentum';
      lr: number | number[];
      weight_decay: number | number[];
      betas?: [number, number];
      eps?: number;
      momentum?: number;
      clip_grad?: number;
      grad_scale?: number;
      lr_scale?: Record<string, number>;
    };
    steps: { grad_norm: number; params: Values }[];
  }[];
  ema: { decay: number; follows: string; steps: Values[] }[];
}

/** Relative 1e-5, absolute 1e-7 (README §10): the share of what is allowed that the worst value takes, against 1. */
function close(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>): Check {
  if (actual.length !== expected.length)
    return { what, error: Number.NaN, tolerance: 1, note: `${actual.length} of ${expected.length} values` };
  let [worst, note] = [0, ''];
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number];
    const share = Math.abs(a - e) / (1e-5 * Math.abs(e) + 1e-7);
    if (!(share <= worst)) [worst, note] = [share, `${a}, expected ${e}`];
    if (Number.isNaN(worst)) break;
  }
  return { what: `${what}, of relative 1e-5 + absolute 1e-7`, error: worst, tolerance: 1, note };
}

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const at = (value: number | number[], step: number) => (typeof value === 'number' ? value : (value[step] as number));

/**
 * Each parameter owns a stretch of the classes. Its token holds +40 there and −40 elsewhere, where GELU has slope exactly 1 and 0, so
 * each parameter sees −targets in its stretch and zeros outside; a last class takes what makes the targets sum to 0, and with it the
 * softmax's share vanishes. Tensors of one axis are named so that they are not decayed.
 */
class Steered {
  readonly names: readonly string[];
  readonly patch: number;
  readonly classes: number;
  /** Patches along a side of the image. */
  readonly side: number;
  readonly #stretches: ReadonlyMap<string, readonly [from: number, size: number]>;

  constructor(private readonly file: OptimizerFile) {
    this.names = Object.keys(file.shapes);
    let from = 0;
    this.#stretches = new Map(
      this.names.map((name) => {
        const size = sizeOf(file.shapes[name]!);
        from += size;
        return [name, [from - size, size]];
      }),
    );
    this.patch = Math.ceil(Math.sqrt((from + 1) / 3));
    this.classes = 3 * this.patch ** 2;
    this.side = Math.ceil(Math.sqrt(this.names.length));
  }

  parameter(name: string): string {
    return this.file.shapes[name]!.length === 1 ? `${name}.bias` : name;
  }

  get model(): Model {
    return model('steered', ({ images, param }) => {
      const tokens = patches(images, this.patch);
      const parts = this.names.map((name, k) => {
        const own = param(this.parameter(name)).declare([1, this.classes], normal(1));
        return gelu(addPositions(takeToken(tokens, k), own));
      });
      return parts.reduce(add);
    });
  }

  get imageSize(): number {
    return this.side * this.patch;
  }

  image(): Float32Array {
    const { imageSize, patch, side } = this;
    const image = new Float32Array(3 * imageSize ** 2).fill(-40);
    this.names.forEach((name, token) => {
      const [from, size] = this.#stretches.get(name)!;
      for (let column = from; column < from + size; column++) {
        const [c, y, x] = [Math.floor(column / patch ** 2), Math.floor((column % patch ** 2) / patch), column % patch];
        image[(c * imageSize + Math.floor(token / side) * patch + y) * imageSize + (token % side) * patch + x] = 40;
      }
    });
    return image;
  }

  targets(step: number, scale: number): Float32Array {
    const targets = new Float32Array(this.classes);
    for (const [name, [from, size]] of this.#stretches) {
      fillUnits(`${this.file.salt}/grad${step}/${name}`, size).forEach((u, i) => {
        targets[from + i] = -Math.fround(scale * (2 * u - 1));
      });
    }
    targets[this.classes - 1] = -targets.reduce((a, b) => a + b, 0);
    return targets;
  }

  async read(program: Program, state: 'weights' | 'ema', name: string): Promise<Float32Array> {
    const [from, size] = this.#stretches.get(name)!;
    return (await program.read(state, this.parameter(name))).subarray(from, from + size);
  }

  async reset(program: Program): Promise<void> {
    for (const [name, [from]] of this.#stretches) {
      const values = new Float32Array(this.classes);
      values.set(this.file.initial[name]!, from);
      for (const state of ['weights', 'ema'] as const) await program.write(state, this.parameter(name), values);
      for (const state of ['first_moment', 'second_moment'] as const)
        await program.write(state, this.parameter(name), new Float32Array(this.classes));
    }
  }
}

/** One case of optimizer.json: the norm before clipping, every parameter and, where one follows it, the EMA after each step. */
export async function optimizerChecks(folder: FixtureFolder, name: string, engine: Engine): Promise<Check[]> {
  const file = folder.json<OptimizerFile>('optimizer.json');
  const found = file.cases.find((one) => one.case.name === name);
  if (found === undefined) throw new Error(`optimizer.json has no case ${name}`);
  const { case: settings, steps } = found;
  const averages = file.ema.filter(({ follows }) => follows === name);
  const steered = new Steered(file);
  const shapes = { imageSize: steered.imageSize, classes: steered.classes, batch: 1 };
  const checks = [same('parameters', Object.keys(file.initial).sort(), [...steered.names].sort())];
  // Once for each EMA, at least once: they differ in their decay.
  for (const ema of averages.length > 0 ? averages : [undefined]) {
    await withProgram(steered.model, shapes, engine, async (program) => {
      await steered.reset(program);
      for (const [k, expected] of steps.entries()) {
        const { gradNorm } = await program.step({
          microBatches: [{ images: steered.image(), targets: steered.targets(k, settings.grad_scale ?? 1), samples: 1, firstSample: 0 }],
          random: { seed: 0n, step: k },
          lossScale: 1,
          optimizer: { ...optimizerOf(settings, k, steered.names), emaDecay: ema?.decay ?? -1 },
        });
        checks.push(close(`step ${k}: norm`, [gradNorm], [expected.grad_norm]));
        for (const name of steered.names) {
          checks.push(close(`step ${k}: ${name}`, await steered.read(program, 'weights', name), expected.params[name]!));
          if (ema)
            checks.push(close(`step ${k}: EMA ${ema.decay} of ${name}`, await steered.read(program, 'ema', name), ema.steps[k]![name]!));
        }
      }
    });
  }
  return checks;
}

function optimizerOf(settings: OptimizerFile['cases'][number]['case'], k: number, names: readonly string[]): OptimizerStep {
  return {
    kind: settings.opt,
    beta1: settings.betas?.[0] ?? 0.9,
    beta2: settings.betas?.[1] ?? 0.999,
    eps: settings.eps ?? 1e-8,
    momentum: settings.momentum ?? 0.9,
    step: k + 1,
    clip: settings.clip_grad ?? 0,
    learningRate: at(settings.lr, k),
    weightDecay: at(settings.weight_decay, k),
    learningRateScale: names.map((name) => settings.lr_scale?.[name] ?? 1),
    emaDecay: -1,
  };
}
