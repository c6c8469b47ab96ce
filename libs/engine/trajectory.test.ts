import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import {
  fillInput,
  fillLabels,
  fillMask,
  fillParameter,
  fillTargets,
  fillUnits,
  fixtureJson,
  fixtureTensors,
  withoutFixtures,
} from '../../test/support/fixtures.js';
import { compileShapes, type FamilyConfig, fillWeights, modelOf, norm } from '../../test/support/golden-model.js';
import { compile } from './compile.js';

interface TrajectoryStep {
  loss: number;
  grad_norm: number;
  lr: number;
  weight_decay: number;
  drop_path: number;
  lambda: number;
  dropped: [number, number, number][];
}
interface TrajectoryFile {
  config: FamilyConfig;
  salt: string;
  batch: number;
  labels: number[];
  smoothing: number;
  lambda: number;
  run: { clip_grad: number | null; ema: number | null };
  batches: number;
  vanishing_gradients: Record<string, [number, number]>;
  steps: TrajectoryStep[];
  final: Record<string, { norm: number; at: number[]; values: number[] }>;
  final_ema: Record<string, { norm: number; at: number[]; values: number[] }>;
}

/** Batch k = t mod batches, each image mixed with its reverse along the batch. */
function mixedBatch({ config, salt, batch, smoothing, batches }: TrajectoryFile, t: number, lambda: number) {
  const k = t % batches;
  const shape = [batch, 3, config.image, config.image];
  const plain = fillInput(salt, shape, `batch${k}/input`);
  const size = plain.length / batch;
  const images = plain.map((value, i) => {
    const [sample, element] = [Math.floor(i / size), i % size];
    return lambda * value + (1 - lambda) * plain[(batch - 1 - sample) * size + element]!;
  });
  const labels = fillLabels(salt, batch, config.classes, `batch${k}/label`);
  return { images, targets: fillTargets(labels, config.classes, smoothing, lambda), samples: batch, firstSample: 0 };
}

for (const executor of testedExecutors) {
  for (const name of ['vit']) {
    test(`${executor}: 20 steps of ${name} with drop path, mixing, schedules and EMA follow PyTorch's`, {
      skip: withoutFixtures || withoutExecutor(executor),
    }, async () => {
      const file = fixtureJson<TrajectoryFile>(`trajectories/${name}.json`);
      const final = fixtureTensors(`trajectories/${name}.safetensors`);
      const { config, salt, batch, run } = file;
      const program = await compile(modelOf(config), compileShapes(file), { executor });
      fillWeights(program, salt);
      for (const { name: parameter } of program.parameters) program.write('ema', parameter, program.read('weights', parameter));
      for (const [t, step] of file.steps.entries()) {
        const lambda = fillUnits(`${salt}/step${t}/lambda`, 1)[0]!;
        assert.equal(lambda, step.lambda);
        const blockRates = Array.from({ length: config.depth }, (_, block) => (step.drop_path * block) / (config.depth - 1));
        const masks = blockRates.flatMap((rate, block) =>
          [0, 1].map((branch) => [`${block}.${branch}`, fillMask(salt, `step${t}/path/${block}/${branch}`, batch, rate)] as const),
        );
        const result = await program.step({
          microBatches: [mixedBatch(file, t, lambda)],
          random: { seed: 0n, step: t, blockRates, pathMasks: Object.fromEntries(masks) },
          lossScale: 1 / batch,
          optimizer: {
            kind: 'adamw',
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            momentum: 0,
            step: t + 1,
            clip: run.clip_grad ?? 0,
            learningRate: step.lr,
            weightDecay: step.weight_decay,
            emaDecay: run.ema ?? -1,
          },
        });
        assert.ok(Math.abs(result.loss - step.loss) <= 1e-4, `step ${t}: loss ${result.loss}, expected ${step.loss}`);
        assert.ok(Math.abs(result.gradNorm / step.grad_norm - 1) <= 1e-3, `step ${t}: norm ${result.gradNorm}`);
      }
      for (const { name: parameter, shape } of program.parameters) {
        // Slices whose gradient is zero in exact arithmetic turn rounding noise into steps.
        const [from, to] = file.vanishing_gradients[parameter] ?? [0, 0];
        const counts = (_: number, i: number) => i < from || i >= to;
        const weights = program.read('weights', parameter);
        const expected = final.get(parameter)!.data;
        const start = fillParameter(salt, parameter, shape);
        const way = norm(Array.from(expected, (value, i) => value - start[i]!).filter(counts));
        const off = norm(Array.from(expected, (value, i) => value - weights[i]!).filter(counts));
        assert.ok(off <= 1e-3 * way, `${parameter}: off by ${off} on a way of ${way}`);
        const ema = file.final_ema[parameter]!;
        const values = program.read('ema', parameter);
        ema.at.forEach((at, i) => {
          if (at >= from && at < to) return;
          assert.ok(Math.abs(values[at]! - ema.values[i]!) <= 1e-3 * way, `EMA of ${parameter} at ${at}`);
        });
      }
      program.dispose();
    });
  }
}
