import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '#engine/index.js';
import { layerDecayScales } from '#nn/layer-decay.js';
import { convnext } from '#nn/models/convnext.js';
import { Optimizer, RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import type { PreparedBatch } from '#training/prepared-batches.js';
import { modelCatalog } from '../run/model-catalog.js';
import { resolveRunSpec } from '../run/run-spec.js';
import { trainSteps } from './run-loop.js';
import { wholeSteps } from './whole-steps.js';

const [CLASSES, SIZE] = [3, 32];
const batch: PreparedBatch = {
  samples: 2,
  images: Float32Array.from({ length: 2 * 3 * SIZE * SIZE }, (_, i) => Math.sin(i)),
  targets: Float32Array.of(1, 0, 0, 0, 0, 1),
  labels: Uint32Array.of(0, 2),
  sha256: new Uint8Array(32),
  replaced: [],
  release: () => undefined,
};

/** How far one step of plain SGD moves every parameter of a narrow ConvNeXt with the stages of convnext_small. */
async function moved(layerDecay: number): Promise<{ names: string[]; steps: Float64Array[] }> {
  const model = convnext({ depths: [1, 1, 4, 1], dims: [4, 4, 4, 4], classes: CLASSES, layerScaleInitValue: 1 });
  const program = await compile(model, { imageSize: SIZE, classes: CLASSES, batch: 2 }, { executor: 'tfjs-cpu' });
  try {
    await program.initialize(1n);
    const names = program.parameters.map(({ name }) => name);
    const before = (await program.readAll('weights')).map(({ data }) => data);
    const asked = { model: 'convnext_small', layerDecay, opt: Optimizer.SGD, momentum: 0, weightDecay: 0, mixup: 0, cutmix: 0 };
    const spec = resolveRunSpec(RunSpec.fromPartial(asked), modelCatalog, { samples: 2, classes: ['a', 'b', 'c'] });
    const steps = trainSteps({
      program,
      stepsPerEpoch: 1,
      fromStep: 0,
      toStep: 1,
      compute: wholeSteps({ program, spec, dropKind: DropKind.DROP_PATH, batches: { next: async () => batch } }),
      rates: () => ({ lr: 1, weightDecay: 0, dropRate: 0 }),
      signal: AbortSignal.timeout(60_000),
    });
    for await (const { metrics } of steps) assert.equal(metrics.lr, 1);
    const after = (await program.readAll('weights')).map(({ data }) => data);
    return { names, steps: before.map((values, k) => Float64Array.from(values, (value, i) => after[k]![i]! - value)) };
  } finally {
    program.dispose();
  }
}

test('layer decay scales the step of every parameter by its layer', async () => {
  const [plain, decayed] = [await moved(1), await moved(0.5)];
  const scales = layerDecayScales('convnext_small', plain.names, 0.5);
  assert.ok(new Set(scales).size >= 6);
  plain.names.forEach((name, k) => {
    const [whole, part] = [plain.steps[k]!, decayed.steps[k]!];
    assert.ok(
      whole.some((value) => value !== 0),
      `${name} moves`,
    );
    // A difference of float32 weights is good to their rounding.
    for (const [i, value] of whole.entries()) assert.ok(Math.abs(part[i]! - scales[k]! * value) <= 3e-7, `${name}[${i}]`);
  });
});
