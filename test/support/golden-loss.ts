/** loss.json of shared/fixtures: losses with their gradients at the logits, through the engine. */
import { softTargets } from '#data/plan/augment/mix-plan.js';
import { type Model, model } from '#nn/model.js';
import { linear } from '#nn/ops/linear.js';
import { patches } from '#nn/ops/patches.js';
import { takeToken } from '#nn/ops/take-token.js';
import { type Check, largestDifference } from './checks.js';
import type { FixtureFolder } from './fixture-folder.js';
import { type Engine, withProgram } from './golden-model.js';

export interface LossFile {
  classes: number;
  logits: number[][];
  labels: number[];
  losses: Record<string, { smoothing?: number; lambda?: number; loss: number; gradient: number[][] }>;
  metrics: { rank_of_label: number[]; acc1: number; acc5: number };
  ties: { logits: number[][]; labels: number[]; rank_by_the_rule: number[]; rank_at_best: number[]; rank_at_worst: number[] };
  epoch_mean: { batch_sizes: number[]; batch_loss: number[]; batch_acc1: number[]; acc1: number; loss_weighted: number };
}

// The first pixels of an image, unchanged, are the logits: weight is the identity. The bias then has the gradient at the logits.
const lookThrough = (classes: number, side: number): Model =>
  model('look-through', ({ images, param }) => linear(takeToken(patches(images, side), 0), classes, param));

/** README §10: 1e-6; of losses above 1, in float32, relative. */
const TOLERANCE = 1e-6;

export async function lossChecks(folder: FixtureFolder, name: string, engine: Engine): Promise<Check[]> {
  const { classes, labels, logits, losses } = folder.json<LossFile>('loss.json');
  const golden = losses[name];
  if (golden === undefined) throw new Error(`loss.json has no loss ${name}`);
  const { smoothing = 0, lambda = 1, loss, gradient } = golden;
  const side = Math.ceil(Math.sqrt(classes / 3));
  const width = 3 * side * side;
  const mix = labels.map((_, slot) => ({ lambda, partner: labels.length - 1 - slot, box: null }));
  const targets = softTargets(labels, mix, classes, smoothing);
  return withProgram(lookThrough(classes, side), { imageSize: side, classes, batch: 1 }, engine, async (program) => {
    const identity = Float32Array.from({ length: classes * width }, (_, i) => (Math.floor(i / width) === i % width ? 1 : 0));
    await program.write('weights', 'weight', identity);
    const checks: Check[] = [];
    let sum = 0;
    for (const [i, row] of logits.entries()) {
      const images = new Float32Array(width);
      images.set(row);
      const batch = { images, targets: targets.subarray(i * classes, (i + 1) * classes), samples: 1, firstSample: 0 };
      const result = await program.step({ microBatches: [batch], random: { seed: 0n, step: 0 }, lossScale: 1 / labels.length });
      sum += result.loss;
      checks.push(largestDifference(`gradient of sample ${i}`, await program.read('gradients', 'bias'), gradient[i] ?? [], TOLERANCE));
    }
    const mean = sum / labels.length;
    return [
      { what: 'loss', error: Math.abs(mean - loss) / Math.max(1, Math.abs(loss)), tolerance: TOLERANCE, note: `${mean}, expected ${loss}` },
      ...checks,
    ];
  });
}
