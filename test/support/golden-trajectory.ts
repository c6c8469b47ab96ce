/** Trajectories of shared/fixtures: short trainings by formula, step by step against PyTorch's (its README §9 and §10). */
import type { OptimizerStep, Program } from '#engine/index.js';
import { trace } from '#graph/trace.js';
import type { Model } from '#nn/model.js';
import type { Path } from '#nn/tensor.js';
import { blockRates, type DropMode, type DropShape, dropRate, learningRate, weightDecay } from '#schedule/index.js';
import { absolute, type Check, relative, same } from './checks.js';
import type { FixtureFolder } from './fixture-folder.js';
import { fillInput, fillLabels, fillMask, fillParameter, fillTargets, fillUnits } from './fixtures.js';
import { compileShapes, type Engine, type FamilyConfig, fillWeights, modelOf, norm, type Precision, withProgram } from './golden-model.js';

interface Summary {
  norm: number;
  sum: number;
  at: number[];
  values: number[];
}

interface TrajectoryFile {
  config: FamilyConfig;
  salt: string;
  batch: number;
  smoothing: number;
  run: {
    epochs: number;
    steps_per_epoch: number;
    lr: number;
    min_lr: number;
    warmup_epochs: number;
    weight_decay: number;
    weight_decay_end: number | null;
    drop_path: number;
    drop_mode: DropMode;
    drop_schedule: DropShape;
    cutoff_epoch: number;
    clip_grad: number | null;
    ema: number | null;
  };
  batches: number;
  vanishing_gradients: Record<string, [number, number]>;
  steps: {
    loss: number;
    grad_norm: number;
    lr: number;
    weight_decay: number;
    drop_path: number;
    lambda: number;
    dropped: [number, number, number][];
  }[];
  distance_from_start: number;
  final: Record<string, Summary>;
  final_ema?: Record<string, Summary>;
}

/** README §10; `way`: ‖Δ‖ of each parameter over its way from the start, in bf16 of all parameters together. */
const tolerances: Record<Precision, { loss: number; norm: number; way: number }> = {
  fp32: { loss: 1e-4, norm: 1e-3, way: 1e-3 },
  bf16: { loss: 3e-2, norm: 0.1, way: 0.1 },
};

export async function trajectoryChecks(folder: FixtureFolder, name: string, engine: Engine): Promise<Check[]> {
  const file = folder.json<TrajectoryFile>(`trajectories/${name}.json`);
  const model = modelOf(file.config);
  return withProgram(model, compileShapes(file), engine, async (program) => {
    await fillWeights(program, file.salt);
    for (const { name: parameter } of program.parameters) await program.write('ema', parameter, await program.read('weights', parameter));
    return [
      ...(await stepChecks(program, model, file, engine.precision)),
      ...(await finalChecks(program, folder, name, file, engine.precision)),
    ];
  });
}

async function stepChecks(program: Program, model: Model, file: TrajectoryFile, precision: Precision): Promise<Check[]> {
  const { salt, batch, run, steps, config } = file;
  const { paths } = trace(model, { channels: 3, imageSize: config.image, classes: config.classes });
  const rates = ratesOf(file);
  const checks = [same('steps', steps.length, run.epochs * run.steps_per_epoch)];
  for (const [t, step] of steps.entries()) {
    const { learningRate, weightDecay, dropPath } = rates(t);
    const lambda = fillUnits(`${salt}/step${t}/lambda`, 1)[0]!;
    const perBlock = [...blockRates(dropPath, program.blocks)];
    const pathMasks = masksOf(file, t, paths, perBlock);
    checks.push(
      relative(`step ${t}: learning rate`, learningRate, step.lr, 1e-12),
      relative(`step ${t}: weight decay`, weightDecay, step.weight_decay, 1e-12),
      relative(`step ${t}: drop rate`, dropPath, step.drop_path, 1e-12),
      relative(`step ${t}: lambda`, lambda, step.lambda, 0),
      same(`step ${t}: samples dropped`, droppedOf(paths, pathMasks), step.dropped),
    );
    const result = await program.step({
      microBatches: [mixedBatch(file, t, lambda)],
      random: { seed: 0n, step: t, blockRates: perBlock, pathMasks },
      lossScale: 1 / batch,
      optimizer: { ...optimizerOf(file, t), learningRate, weightDecay },
    });
    checks.push(
      absolute(`step ${t}: loss`, result.loss, step.loss, tolerances[precision].loss),
      relative(`step ${t}: norm of the gradient`, result.gradNorm, step.grad_norm, tolerances[precision].norm),
    );
  }
  return checks;
}

function ratesOf({ run }: TrajectoryFile) {
  const length = { epochs: run.epochs, stepsPerEpoch: run.steps_per_epoch };
  const lr = learningRate({ lr: run.lr, minLr: run.min_lr, warmupEpochs: run.warmup_epochs }, length);
  const wd = weightDecay({ weightDecay: run.weight_decay, weightDecayEnd: run.weight_decay_end ?? undefined }, length);
  const drop =
    run.drop_path > 0 &&
    dropRate({ rate: run.drop_path, mode: run.drop_mode, schedule: run.drop_schedule, cutoffEpoch: run.cutoff_epoch }, length);
  return (t: number) => ({ learningRate: lr.at(t), weightDecay: wd.at(t), dropPath: drop ? drop.at(t) : 0 });
}

function optimizerOf({ run }: TrajectoryFile, t: number): Omit<OptimizerStep, 'learningRate' | 'weightDecay'> {
  const [beta1, beta2, eps] = [0.9, 0.999, 1e-8];
  return { kind: 'adamw', beta1, beta2, eps, momentum: 0, step: t + 1, clip: run.clip_grad ?? 0, emaDecay: run.ema ?? -1 };
}

function masksOf({ salt, batch }: TrajectoryFile, t: number, paths: readonly Path[], rates: ArrayLike<number>): Record<string, Uint8Array> {
  return Object.fromEntries(
    paths.map(({ block, branch }) => [
      `${block}.${branch}`,
      fillMask(salt, `step${t}/path/${block}/${branch}`, batch, rates[block] as number),
    ]),
  );
}

function droppedOf(paths: readonly Path[], masks: Record<string, Uint8Array>): [number, number, number][] {
  return paths.flatMap(({ block, branch }) =>
    [...masks[`${block}.${branch}`]!].flatMap((kept, sample): [number, number, number][] => (kept ? [] : [[block, branch, sample]])),
  );
}

/** Batch k = t mod batches, each image mixed with its reverse along the batch. */
function mixedBatch({ config, salt, batch, smoothing, batches }: TrajectoryFile, t: number, lambda: number) {
  const k = t % batches;
  const plain = fillInput(salt, [batch, 3, config.image, config.image], `batch${k}/input`);
  const size = plain.length / batch;
  const images = plain.map((value, i) => {
    const [sample, element] = [Math.floor(i / size), i % size];
    return lambda * value + (1 - lambda) * plain[(batch - 1 - sample) * size + element]!;
  });
  const labels = fillLabels(salt, batch, config.classes, `batch${k}/label`);
  return { images, targets: fillTargets(labels, config.classes, smoothing, lambda), samples: batch, firstSample: 0 };
}

async function finalChecks(
  program: Program,
  folder: FixtureFolder,
  name: string,
  file: TrajectoryFile,
  precision: Precision,
): Promise<Check[]> {
  const final = folder.tensors(`trajectories/${name}.safetensors`);
  const names = program.parameters.map((parameter) => parameter.name).sort();
  const checks = [
    same('parameters of the end', [...final.names].sort(), names),
    same('summaries of the end', Object.keys(file.final).sort(), names),
  ];
  if (file.run.ema !== null) checks.push(same('summaries of the EMA', Object.keys(file.final_ema ?? {}).sort(), names));
  if (checks.some(({ error }) => error !== 0)) return checks;
  const [offs, ways]: [number[], number[]] = [[], []];
  const { way: allowed } = tolerances[precision];
  const perParameter: Check[] = [];
  for (const { name: parameter, shape } of program.parameters) {
    // Slices whose gradient is zero in exact arithmetic turn rounding noise into steps.
    const [from, to] = file.vanishing_gradients[parameter] ?? [0, 0];
    const counts = (_: number, i: number) => i < from || i >= to;
    const weights = await program.read('weights', parameter);
    const expected = final.get(parameter).data;
    const start = fillParameter(file.salt, parameter, shape);
    const way = norm(Array.from(expected, (value, i) => value - start[i]!).filter(counts));
    const off = norm(Array.from(expected, (value, i) => value - weights[i]!).filter(counts));
    offs.push(off);
    ways.push(way);
    const whole = to === from;
    perParameter.push(
      { what: `${parameter} at the end, over its way`, error: way === 0 && off === 0 ? 0 : off / way, tolerance: allowed },
      ...summaryChecks(`${parameter} at the end`, weights, file.final[parameter]!, allowed * way, counts, whole),
    );
    const ema = file.final_ema?.[parameter];
    if (file.run.ema !== null && ema) {
      perParameter.push(...summaryChecks(`EMA of ${parameter}`, await program.read('ema', parameter), ema, allowed * way, counts, whole));
    }
  }
  const distance = relative('distance from the start', norm(ways), file.distance_from_start, 2e-3);
  if (precision === 'fp32') return [...checks, ...perParameter, distance];
  return [...checks, { what: 'all parameters at the end, over their way', error: norm(offs) / norm(ways), tolerance: allowed }, distance];
}

/** Norm, sum and elements of a tensor that may be `allowed` away as a whole. Norm and sum only where no slice of it is left out. */
function summaryChecks(
  what: string,
  actual: Float32Array,
  expected: Summary,
  allowed: number,
  counts: (value: number, index: number) => boolean,
  whole: boolean,
): Check[] {
  const picked = expected.at.flatMap((at, i) => (counts(0, at) ? [actual[at]! - expected.values[i]!] : []));
  // The expectations were rounded to float32 where a tensor hardly moved.
  const tolerance = allowed + 1e-7 * expected.norm;
  const elements = { what: `${what}: elements`, error: norm(picked), tolerance };
  if (!whole) return [elements];
  const sum = actual.reduce((total, value) => total + value, 0);
  return [
    elements,
    absolute(`${what}: norm`, norm(actual), expected.norm, tolerance),
    absolute(`${what}: sum`, sum, expected.sum, tolerance * Math.sqrt(actual.length)),
  ];
}
