/** The golden models of shared/fixtures as steps for the engine, and their comparison at the tolerances of its README §10. */
import type { MicroBatch } from '#engine/executable.js';
import { type CompileShapes, compile, type ExecutorName, type Program, type StepRequest } from '#engine/index.js';
import type { Model } from '#nn/model.js';
import { convnext } from '#nn/models/convnext.js';
import { mixer } from '#nn/models/mixer.js';
import { swin } from '#nn/models/swin.js';
import { vit } from '#nn/models/vit.js';
import { absolute, assertChecks, type Check, largestDifference, relative, same } from './checks.js';
import type { FixtureFolder, FixtureTensors } from './fixture-folder.js';
import { fillInput, fillParameter, fillTargets } from './fixtures.js';
import { inSiteOrder } from './swin-masks.js';

/** What every config has; the rest is its family's own: depth or depths, dim or dims, heads, patch. */
export interface FamilyConfig {
  family: string;
  image: number;
  classes: number;
}

/** From a fixture's config to the model: one line a family. */
const families: Readonly<Record<string, (config: never) => Model>> = {
  vit,
  mixer,
  swin,
  convnext,
};

export function modelOf(config: FamilyConfig): Model {
  const family = Object.hasOwn(families, config.family) ? families[config.family] : undefined;
  if (family === undefined) throw new Error(`no model of family ${config.family}`);
  return family(config as never);
}

interface Golden {
  config: FamilyConfig;
  salt: string;
  batch: number;
  labels: number[];
  smoothing: number;
  lambda: number;
  parameters: number;
}

interface DropPath {
  block_rates: number[];
  masks: number[][][];
}

interface Mode {
  loss: number;
  grad_norm: number;
}

export interface ReducedFile extends Golden {
  input_first_8: number[];
  params: Record<string, number[]>;
  modes: {
    eval?: Mode;
    drop_path?: Mode & DropPath;
    dropout?: Mode & { rate: number; sites: Record<string, number[]> };
  };
}

export interface FullFile extends Golden {
  loss: number;
  grad_norm: number;
  logits_sum: number;
  logits_norm: number;
  drop_path?: DropPath;
  grads: Record<string, { norm: number; sum: number; at: number[]; values: number[] }>;
}

export const reducedModes = ['eval', 'drop_path', 'dropout'] as const;
export type ReducedMode = (typeof reducedModes)[number];
/** Modes that a file has; ConvNeXt has no dropout. */
export const modesOf = ({ modes }: ReducedFile): ReducedMode[] => reducedModes.filter((mode) => modes[mode] !== undefined);

export type Precision = 'fp32' | 'bf16';

/** README §10. Gradients: of each parameter in fp32; of all taken together in bf16. */
const modelTolerances = {
  fp32: { logits: 5e-5, loss: 1e-5, gradient: 1e-4 },
  bf16: { logits: 0.1, logitsL2: 3e-2, loss: 2e-2, gradientCosine: 5e-3, gradientL2: 0.1 },
} as const;

export interface Engine {
  executor: ExecutorName;
  precision: Precision;
}

export function compileShapes({ config, batch }: Pick<Golden, 'config' | 'batch'>): CompileShapes {
  return { imageSize: config.image, classes: config.classes, batch };
}

/** Compiles, runs and disposes. */
export async function withProgram<T>(
  model: Model | string,
  shapes: CompileShapes,
  { executor, precision }: Engine,
  use: (program: Program) => Promise<T>,
): Promise<T> {
  const program = await compile(model, shapes, { executor, precision });
  try {
    return await use(program);
  } finally {
    program.dispose();
  }
}

export async function fillWeights(program: Program, salt: string): Promise<void> {
  for (const { name, shape } of program.parameters) await program.write('weights', name, fillParameter(salt, name, shape));
}

/** The step that a case describes: gradients of the mean loss, without optimizer. */
export function goldenStep(golden: Golden, random: Omit<StepRequest['random'], 'seed' | 'step'>): StepRequest<MicroBatch<Float32Array>> {
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

export function reducedRandom(
  { modes, batch }: ReducedFile,
  tensors: FixtureTensors,
  mode: ReducedMode,
): Omit<StepRequest['random'], 'seed' | 'step'> {
  if (mode === 'drop_path' && modes.drop_path) return pathRandom(modes.drop_path);
  if (mode !== 'dropout' || !modes.dropout) return {};
  const masks = Object.entries(modes.dropout.sites).map(([site, shape]) => {
    const mask = tensors.get(`dropout/mask/${site}`).data as Uint8Array;
    return [site, inSiteOrder(site, mask, shape, batch)] as const;
  });
  return { dropout: modes.dropout.rate, siteMasks: Object.fromEntries(masks) };
}

function pathRandom({ block_rates, masks }: DropPath): Omit<StepRequest['random'], 'seed' | 'step'> {
  const entries = masks.flatMap((branches, block) =>
    branches.map((kept, branch) => [`${block}.${branch}`, Uint8Array.from(kept)] as const),
  );
  return { blockRates: block_rates, pathMasks: Object.fromEntries(entries) };
}

/** One mode of a reduced model: logits, loss, every gradient and their norm. */
export async function reducedChecks(folder: FixtureFolder, name: string, mode: ReducedMode, engine: Engine): Promise<Check[]> {
  const file = folder.json<ReducedFile>(`models/${name}.json`);
  const tensors = folder.tensors(`models/${name}.safetensors`);
  const expected = file.modes[mode];
  if (expected === undefined) throw new Error(`models/${name}.json has no mode ${mode}`);
  return withProgram(modelOf(file.config), compileShapes(file), engine, async (program) => {
    const shapes = program.parameters.map(({ name, shape }) => [name, [...shape]]);
    const named = same('names and shapes of parameters', shapes, Object.entries(file.params));
    if (named.error !== 0) return [named];
    await fillWeights(program, file.salt);
    const step = goldenStep(file, reducedRandom(file, tensors, mode));
    const images = step.microBatches[0]!.images;
    const checks = [
      named,
      same('count of parameters', countOf(program), file.parameters),
      largestDifference('input', images.subarray(0, file.input_first_8.length), file.input_first_8, 0),
      largestDifference('targets', step.microBatches[0]!.targets, tensors.get('target').data, 1e-6),
    ];
    if (mode === 'dropout') checks.push(same('dropout sites', [...program.sites].sort(), Object.keys(file.modes.dropout!.sites).sort()));
    if (mode === 'drop_path') checks.push(same('blocks', program.blocks, file.modes.drop_path!.masks.length));
    const result = await program.step(step);
    const logits = tensors.get(`${mode}/logits`).data;
    const gradients = await gradientsOf(program);
    checks.push(
      ...outputChecks(result, { logits, ...expected }, engine.precision),
      ...gradientChecks(
        Object.keys(file.params),
        (parameter) => gradients.get(parameter)!,
        (parameter) => tensors.get(`${mode}/grad/${parameter}`).data,
        engine.precision,
      ),
    );
    if (mode === 'eval') {
      const evaluated = await program.evaluate(step.microBatches[0]!);
      checks.push(...logitsChecks('logits of evaluate', evaluated.logits, logits, engine.precision));
    }
    return checks;
  });
}

async function gradientsOf(program: Program): Promise<ReadonlyMap<string, Float32Array>> {
  return new Map((await program.readAll('gradients')).map(({ name, data }) => [name, data]));
}

/** A full-size model: logits, loss, norm of the gradient, and of every parameter's gradient norm, sum and eight elements. */
export async function fullChecks(folder: FixtureFolder, name: string, model: Model | string, engine: Engine): Promise<Check[]> {
  const file = folder.json<FullFile>(`models_full/${name}.json`);
  const logits = folder.tensors('models_full/logits.safetensors').get(`${name}/logits`).data;
  return withProgram(model, compileShapes(file), engine, async (program) => {
    const names = program.parameters.map((parameter) => parameter.name);
    const named = same('names of parameters', names, Object.keys(file.grads));
    if (named.error !== 0) return [named];
    await fillWeights(program, file.salt);
    const result = await program.step(goldenStep(file, file.drop_path ? pathRandom(file.drop_path) : {}));
    const { length } = logits;
    const allowed = modelTolerances[engine.precision].logits;
    return [
      named,
      same('count of parameters', countOf(program), file.parameters),
      ...(file.drop_path ? [same('blocks', program.blocks, file.drop_path.masks.length)] : []),
      ...outputChecks(result, { ...file, logits }, engine.precision),
      absolute('norm of the logits', norm(result.logits), file.logits_norm, allowed * Math.sqrt(length)),
      absolute('sum of the logits', sum(result.logits), file.logits_sum, allowed * length),
      ...pickedGradientChecks(await gradientsOf(program), file, engine.precision),
    ];
  });
}

/** Only norm, sum and a few elements are known: the whole difference is within `allowed`, so are these; the sum within √n of it. */
function pickedGradientChecks(gradients: ReadonlyMap<string, Float32Array>, { grads }: FullFile, precision: Precision): Check[] {
  const largest = Math.max(...Object.values(grads).map((grad) => grad.norm));
  const [actualPicked, expectedPicked]: [number[], number[]] = [[], []];
  const checks = Object.entries(grads).flatMap(([parameter, expected]) => {
    const gradient = gradients.get(parameter)!;
    const picked = expected.at.map((at) => gradient[at]!);
    if (picked.length === 0 || picked.length !== expected.values.length) throw new Error(`no elements of the gradient of ${parameter}`);
    actualPicked.push(...picked);
    expectedPicked.push(...expected.values);
    const allowed = modelTolerances.fp32.gradient * Math.max(expected.norm, 1e-3 * largest);
    const off = picked.map((value, i) => value - expected.values[i]!);
    return [
      absolute(`norm of the gradient of ${parameter}`, norm(gradient), expected.norm, allowed),
      { what: `elements of the gradient of ${parameter}`, error: norm(off), tolerance: allowed },
      absolute(`sum of the gradient of ${parameter}`, sum(gradient), expected.sum, allowed * Math.sqrt(gradient.length)),
    ];
  });
  return precision === 'fp32' ? checks : wholeGradientChecks(actualPicked, expectedPicked);
}

function outputChecks(
  result: { logits: Float32Array; loss: number; gradNorm: number },
  expected: { logits: ArrayLike<number>; loss: number; grad_norm: number },
  precision: Precision,
): Check[] {
  const allowed = precision === 'fp32' ? modelTolerances.fp32.gradient : modelTolerances.bf16.gradientL2;
  return [
    ...logitsChecks('logits', result.logits, expected.logits, precision),
    absolute('loss', result.loss, expected.loss, modelTolerances[precision].loss),
    relative('norm of the whole gradient', result.gradNorm, expected.grad_norm, allowed),
  ];
}

export function logitsChecks(what: string, actual: ArrayLike<number>, expected: ArrayLike<number>, precision: Precision): Check[] {
  const most = largestDifference(what, actual, expected, modelTolerances[precision].logits);
  if (precision === 'fp32') return [most];
  const off = norm(Float64Array.from(expected, (value, i) => actual[i]! - value));
  return [most, { what: `${what}, relative L2`, error: off / norm(expected), tolerance: modelTolerances.bf16.logitsL2 }];
}

type ByName = (name: string) => ArrayLike<number>;

/** fp32: ‖Δ‖ ≤ tolerance · max(‖expected‖, 1e-3 · largest ‖·‖) for every parameter. bf16: cosine and relative L2 of the whole. */
export function gradientChecks(
  names: readonly string[],
  actual: ByName,
  expected: ByName,
  precision: Precision,
  tolerance: number = modelTolerances.fp32.gradient,
): Check[] {
  if (precision === 'bf16') {
    const whole = (part: ByName) => names.flatMap((name) => Array.from(part(name)));
    return wholeGradientChecks(whole(actual), whole(expected));
  }
  const largest = Math.max(...names.map((name) => norm(expected(name))).filter(Number.isFinite));
  return names.map((name) => {
    const [a, b] = [actual(name), expected(name)];
    const error = a.length === b.length ? norm(Float64Array.from(b, (value, i) => a[i]! - value)) : Number.NaN;
    return { what: `gradient of ${name}`, error, tolerance: tolerance * Math.max(norm(b), 1e-3 * largest) };
  });
}

function wholeGradientChecks(actual: readonly number[], expected: readonly number[]): Check[] {
  const product = expected.reduce((total, value, i) => total + value * (actual[i] ?? Number.NaN), 0);
  const [length, wanted] = [norm(actual), norm(expected)];
  const off = actual.length === expected.length ? norm(expected.map((value, i) => actual[i]! - value)) : Number.NaN;
  return [
    // Rounding can take the cosine of equal vectors past 1.
    {
      what: '1 − cosine of the whole gradient',
      error: Math.max(0, 1 - product / (length * wanted)),
      tolerance: modelTolerances.bf16.gradientCosine,
    },
    { what: 'relative L2 of the whole gradient', error: off / wanted, tolerance: modelTolerances.bf16.gradientL2 },
  ];
}

/** gradientChecks in fp32, asserted. */
export function assertGradients(names: readonly string[], actual: ByName, expected: ByName, tolerance: number): void {
  assertChecks(gradientChecks(names, actual, expected, 'fp32', tolerance));
}

export function maxAbsoluteDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  return largestDifference('', actual, expected, 0).error;
}

export function norm(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += (values[i] as number) ** 2;
  return Math.sqrt(total);
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] as number;
  return total;
}

const countOf = (program: Program) =>
  program.parameters.reduce((total, { shape }) => total + shape.reduce((product, side) => product * side, 1), 0);
