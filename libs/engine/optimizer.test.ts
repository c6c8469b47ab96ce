import assert from 'node:assert/strict';
import { test } from 'node:test';
import { normal } from '#nn/initialisation.js';
import { type Model, model } from '#nn/model.js';
import { add } from '#nn/ops/add.js';
import { addPositions } from '#nn/ops/add-positions.js';
import { gelu } from '#nn/ops/gelu.js';
import { patches } from '#nn/ops/patches.js';
import { takeToken } from '#nn/ops/take-token.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { fillUnits, fixtureJson, withoutFixtures } from '../../test/support/fixtures.js';
import { compile } from './compile.js';
import type { Program } from './program.js';

type Values = Record<string, number[]>;
interface OptimizerFile {
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

// A model whose gradient is whatever the targets say. Each parameter owns a stretch of the classes. Its token holds +40 there and −40
// elsewhere, where GELU has slope exactly 1 and 0, so each parameter sees −targets in its stretch and zeros outside; a last class takes
// what makes the targets sum to 0, and with it the softmax's share vanishes.
const PATCH = 5;
const CLASSES = 3 * PATCH * PATCH;
const parameterNames = { w1: 'w1', b1: 'b1.bias', w2: 'w2' } as const;
const names = Object.keys(parameterNames) as (keyof typeof parameterNames)[];

const steered: Model = model('steered', ({ images, param }) => {
  const tokens = patches(images, PATCH);
  const parts = names.map((name, k) => {
    const own = param(parameterNames[name]).declare([1, CLASSES], normal(1));
    return gelu(addPositions(takeToken(tokens, k), own));
  });
  return parts.reduce(add);
});

function stretches(shapes: Record<string, number[]>): Record<string, [number, number]> {
  let from = 0;
  return Object.fromEntries(
    names.map((name) => {
      const size = (shapes[name] ?? []).reduce((a, b) => a * b, 1);
      from += size;
      return [name, [from - size, size]];
    }),
  );
}

function steeringImage(shapes: Record<string, number[]>): Float32Array {
  const side = 2 * PATCH;
  const image = new Float32Array(3 * side * side).fill(-40);
  names.forEach((name, token) => {
    const [from, size] = stretches(shapes)[name]!;
    for (let column = from; column < from + size; column++) {
      const [c, y, x] = [Math.floor(column / 25), Math.floor((column % 25) / 5), column % 5];
      image[(c * side + Math.floor(token / 2) * PATCH + y) * side + (token % 2) * PATCH + x] = 40;
    }
  });
  return image;
}

function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  for (let i = 0; i < expected.length; i++) {
    const [a, e] = [actual[i]!, expected[i]!];
    assert.ok(Math.abs(a - e) <= 1e-5 * Math.abs(e) + 1e-7, `${what}[${i}]: ${a}, expected ${e}`);
  }
}

const at = (value: number | number[], step: number) => (typeof value === 'number' ? value : value[step]!);

for (const executor of testedExecutors) {
  const skip = withoutFixtures || withoutExecutor(executor);
  test(`${executor}: every optimizer case, clipping, schedules and EMA follow PyTorch's`, { skip }, async () => {
    const file = fixtureJson<OptimizerFile>('optimizer.json');
    const places = stretches(file.shapes);
    const program = await compile(steered, { imageSize: 2 * PATCH, classes: CLASSES, batch: 1 }, { executor });
    const own = (state: 'weights' | 'ema', name: string) => {
      const [from, size] = places[name]!;
      return program.read(state, parameterNames[name as 'w1']).subarray(from, from + size);
    };
    for (const { case: settings, steps } of file.cases) {
      reset(program, file, places);
      const ema = file.ema.find(({ follows }) => follows === settings.name);
      for (const [k, expected] of steps.entries()) {
        const targets = new Float32Array(CLASSES);
        for (const name of names) {
          const [from, size] = places[name]!;
          const units = fillUnits(`${file.salt}/grad${k}/${name}`, size);
          units.forEach((u, i) => {
            targets[from + i] = -Math.fround((settings.grad_scale ?? 1) * (2 * u - 1));
          });
        }
        targets[CLASSES - 1] = -targets.reduce((a, b) => a + b, 0);
        const { gradNorm } = await program.step({
          microBatches: [{ images: steeringImage(file.shapes), targets, samples: 1, firstSample: 0 }],
          random: { seed: 0n, step: k },
          lossScale: 1,
          optimizer: {
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
            emaDecay: ema?.decay ?? -1,
          },
        });
        assertClose([gradNorm], [expected.grad_norm], `${settings.name} step ${k}: norm`);
        for (const name of names) {
          assertClose(own('weights', name), expected.params[name]!, `${settings.name} step ${k}: ${name}`);
          if (ema) assertClose(own('ema', name), ema.steps[k]![name]!, `${settings.name} step ${k}: EMA of ${name}`);
        }
      }
    }
    program.dispose();
  });
}

function reset(program: Program, file: OptimizerFile, places: Record<string, [number, number]>): void {
  for (const name of names) {
    const values = new Float32Array(CLASSES);
    values.set(file.initial[name]!, places[name]![0]);
    const zeros = new Float32Array(CLASSES);
    program.write('weights', parameterNames[name], values);
    program.write('ema', parameterNames[name], values);
    program.write('first_moment', parameterNames[name], zeros);
    program.write('second_moment', parameterNames[name], zeros);
  }
}
