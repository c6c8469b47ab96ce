/** The golden models of shared/fixtures as steps for the engine, and the comparison at the tolerances of its README §10. */
import assert from 'node:assert/strict';
import type { Program, StepRequest } from '#engine/program.js';
import type { Model } from '#nn/model.js';
import { vit } from '#nn/models/vit.js';
import { fillInput, fillParameter, fillTargets, fixtureJson, fixtureTensors } from './fixtures.js';

export interface FamilyConfig {
  family: string;
  image: number;
  classes: number;
  dim: number;
  depth: number;
  heads: number;
  patch: number;
}

export function modelOf(config: FamilyConfig): Model {
  if (config.family !== 'vit') throw new Error(`no model of family ${config.family} yet`);
  return vit(config);
}

interface Golden {
  config: FamilyConfig;
  salt: string;
  batch: number;
  labels: number[];
  smoothing: number;
  lambda: number;
}

interface DropPath {
  block_rates: number[];
  masks: number[][][];
}

export interface ReducedFile extends Golden {
  params: Record<string, number[]>;
  modes: {
    eval: { loss: number; grad_norm: number };
    drop_path: { loss: number; grad_norm: number } & DropPath;
    dropout: { loss: number; grad_norm: number; rate: number; sites: Record<string, number[]> };
  };
}

export interface FullFile extends Golden {
  loss: number;
  grad_norm: number;
  drop_path?: DropPath;
  grads: Record<string, { norm: number; sum: number; at: number[]; values: number[] }>;
}

export const reducedModes = ['eval', 'drop_path', 'dropout'] as const;
export type ReducedMode = (typeof reducedModes)[number];

export function compileShapes({ config, batch }: Golden) {
  return { imageSize: config.image, classes: config.classes, batch };
}

export function fillWeights(program: Program, salt: string): void {
  for (const { name, shape } of program.parameters) program.write('weights', name, fillParameter(salt, name, shape));
}

/** The step that a case describes: gradients of the mean loss, without optimizer. */
export function goldenStep(golden: Golden, random: Omit<StepRequest['random'], 'seed' | 'step'>): StepRequest {
  const { config, salt, batch, labels, smoothing, lambda } = golden;
  return {
    microBatches: [
      {
        images: fillInput(salt, [batch, 3, config.image, config.image]),
        targets: fillTargets(labels, config.classes, smoothing, lambda),
        samples: batch,
        firstSample: 0,
      },
    ],
    random: { seed: 0n, step: 0, ...random },
    lossScale: 1 / batch,
  };
}

export function reducedRandom(name: string, mode: ReducedMode): Omit<StepRequest['random'], 'seed' | 'step'> {
  const { modes } = fixtureJson<ReducedFile>(`models/${name}.json`);
  if (mode === 'eval') return {};
  if (mode === 'drop_path') return pathRandom(modes.drop_path);
  const tensors = fixtureTensors(`models/${name}.safetensors`);
  const masks = Object.keys(modes.dropout.sites).map((site) => [site, tensors.get(`dropout/mask/${site}`)?.data as Uint8Array] as const);
  return { dropout: modes.dropout.rate, siteMasks: Object.fromEntries(masks) };
}

export function pathRandom({ block_rates, masks }: DropPath): Omit<StepRequest['random'], 'seed' | 'step'> {
  const entries = masks.flatMap((branches, block) =>
    branches.map((kept, branch) => [`${block}.${branch}`, Uint8Array.from(kept)] as const),
  );
  return { blockRates: block_rates, pathMasks: Object.fromEntries(entries) };
}

export function maxAbsoluteDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let most = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    if (!(difference <= most)) most = difference; // NaN stays
  }
  return most;
}

export function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2;
  return Math.sqrt(sum);
}

/** ‖actual − expected‖ ≤ tolerance · max(‖expected‖, 1e-3 · largest ‖·‖), for every parameter. */
export function assertGradients(
  names: readonly string[],
  actual: (name: string) => ArrayLike<number>,
  expected: (name: string) => ArrayLike<number>,
  tolerance: number,
): void {
  const largest = Math.max(...names.map((name) => norm(expected(name))));
  for (const name of names) {
    const [a, b] = [actual(name), expected(name)];
    assert.equal(a.length, b.length, name);
    const difference = norm(Float64Array.from(b, (value, i) => (a[i] as number) - value));
    const allowed = tolerance * Math.max(norm(b), 1e-3 * largest);
    assert.ok(difference <= allowed, `gradient of ${name}: off by ${difference}, allowed ${allowed}`);
  }
}
