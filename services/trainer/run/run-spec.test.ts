import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Violations } from '#errors/errors.js';
import { Engine, Precision } from '#protocol/dropstream/v1/engine_types.js';
import { type Optimizer, RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff, DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { dropScheduleOf } from '#spec/drop-schedules.js';
import { runSpecEnums } from '#spec/words.js';
import { modelCatalog } from './model-catalog.js';
import { runOptions } from './run-options.js';
import {
  asResolved,
  checkEvaluationData,
  checkLength,
  checkRunSpec,
  type DatasetFacts,
  requestDigest,
  resolveRunSpec,
  workersOf,
} from './run-spec.js';

const manifest = 'a'.repeat(64);
const models = modelCatalog;
const data: DatasetFacts = { samples: 1000, classes: ['cat', 'dog'] };
const good = RunSpec.fromPartial({ model: 'vit_nano_p7', trainManifest: manifest, epochs: 10, warmupEpochs: 1 });

function violationsOf(part: Partial<RunSpec>): string[] {
  const violations = new Violations();
  const spec: RunSpec = { ...good, ...part };
  checkRunSpec(violations, spec, models);
  checkLength(violations, spec, data);
  return violations.list.map(({ field }) => field.replace(/^spec\./, ''));
}

test("absent options get the reference's defaults; 0 is a value", () => {
  assert.deepEqual(violationsOf({}), []);
  const spec = resolveRunSpec(good, models, data);
  assert.deepEqual(
    [spec.batchSize, spec.updateFreq, spec.seed, spec.lr, spec.minLr, spec.weightDecay, spec.mixup, spec.cutmix, spec.smoothing],
    [64, 1, 0n, 4e-3, 1e-6, 0.05, 0.8, 1, 0.1],
  );
  assert.deepEqual([spec.inputSize, spec.nbClasses, spec.aa, spec.disableEval], [28, 2, 'rand-m9-mstd0.5-inc1', true]);
  assert.deepEqual(spec.optBetas, [0.9, 0.999]);
  assert.equal(spec.clipGrad, undefined);
  const zeros = resolveRunSpec({ ...good, mixup: 0, smoothing: 0, lr: 0, aa: '' }, models, data);
  assert.deepEqual([zeros.mixup, zeros.smoothing, zeros.lr, zeros.aa], [0, 0, 0, '']);
  assert.deepEqual(asResolved(RunSpec.fromJSON(RunSpec.toJSON(zeros))), zeros, 'a resolved spec survives JSON');
});

test('UNSPECIFIED means the default', () => {
  const unspecified: object = Object.fromEntries(Object.keys(runSpecEnums).map((field) => [field, 0]));
  assert.deepEqual(violationsOf(unspecified), []);
  assert.deepEqual(resolveRunSpec({ ...good, ...unspecified }, models, data), resolveRunSpec(good, models, data));
});

test('an adaptive cutoff has defaults of its own, and is refused where nothing could end or be measured', () => {
  const adaptive: Partial<RunSpec> = { cutoff: DropCutoff.ADAPTIVE, dropMode: DropMode.EARLY, dropPath: 0.1 };
  assert.deepEqual(violationsOf(adaptive), []);
  const ofCutoff = (part: Partial<RunSpec>) => {
    const { cutoffEpoch, cutoffEvery, cutoffBatches, cutoffPatience } = resolveRunSpec({ ...good, ...part }, models, data);
    return [cutoffEpoch, cutoffEvery, cutoffBatches, cutoffPatience];
  };
  assert.deepEqual(ofCutoff(adaptive), [10, 1, 32, 2]);
  assert.deepEqual(ofCutoff({ ...adaptive, epochs: 300, cutoffEpoch: 50 }), [50, 10, 32, 2]);
  assert.deepEqual(ofCutoff({}), [0, undefined, undefined, undefined]);
  const resolved = resolveRunSpec({ ...good, ...adaptive }, models, data);
  assert.deepEqual(asResolved(RunSpec.fromJSON(RunSpec.toJSON(resolved))), resolved);
  assert.deepEqual(violationsOf({ ...adaptive, dropMode: DropMode.LATE }), ['drop_mode']);
  assert.deepEqual(violationsOf({ ...adaptive, dropPath: 0 }), ['dropout']);
  assert.deepEqual(violationsOf({ ...adaptive, saveCkpt: false }), ['save_ckpt']);
  assert.deepEqual(violationsOf({ ...adaptive, cutoffEpoch: 0 }), ['cutoff_epoch']);
  assert.deepEqual(violationsOf({ ...adaptive, cutoffEvery: 11, cutoffBatches: 1 }), ['cutoff_batches', 'cutoff_every']);
  // A measurement counts one epoch later, and only before the latest end.
  assert.deepEqual(violationsOf({ ...adaptive, cutoffEvery: 8 }), []);
  assert.deepEqual(violationsOf({ ...adaptive, cutoffEvery: 9 }), ['cutoff_every']);
  assert.deepEqual(violationsOf({ ...adaptive, cutoffEvery: 3, cutoffEpoch: 4 }), ['cutoff_every']);
  assert.deepEqual(violationsOf({ ...adaptive, cutoffEpoch: 3 }), []);
  assert.deepEqual(violationsOf({ ...adaptive, cutoffEpoch: 2 }), ['cutoff_epoch']);
  assert.deepEqual(violationsOf({ ...adaptive, epochs: 300, cutoffEpoch: 11 }), ['cutoff_epoch']);
  assert.deepEqual(violationsOf({ ...adaptive, epochs: 2, warmupEpochs: 1 }), ['epochs']);
  assert.deepEqual(violationsOf({ cutoffEvery: 1, cutoffBatches: 8, cutoffPatience: 2 }), [
    'cutoff_every',
    'cutoff_batches',
    'cutoff_patience',
  ]);
  const schedule = 'projects/p/schedules/early';
  assert.deepEqual(violationsOf({ schedule, cutoff: DropCutoff.ADAPTIVE, cutoffEvery: 1 }), ['cutoff', 'cutoff_every']);
});

test('workers: one unless told, at least one, and as many at most as at least; a run of version 0.2 has neither these nor a priority', () => {
  const workers = (part: Partial<RunSpec>) => resolveRunSpec({ ...good, updateFreq: 8, ...part }, models, data).workers;
  assert.deepEqual(workers({}), { min: 1, max: 1 });
  assert.deepEqual(workers({ workers: { min: 0, max: 8 } }), { min: 1, max: 8 });
  assert.deepEqual(workers({ workers: { min: 2, max: 0 } }), { min: 2, max: 2 });
  assert.deepEqual(violationsOf({ updateFreq: 8, workers: { min: 2, max: 8 }, priority: -1000 }), []);
  const stored = RunSpec.toJSON(resolveRunSpec(good, models, data)) as object;
  const earlier = asResolved(RunSpec.fromJSON({ ...stored, workers: undefined, priority: undefined }));
  assert.deepEqual([workersOf(earlier), earlier.priority], [{ min: 1, max: 1 }, undefined]);
});

test('leaves: one for each micro-batch, and at most 16, unless told', () => {
  const leaves = (part: Partial<RunSpec>) => resolveRunSpec({ ...good, ...part }, models, data).gradientLeaves;
  assert.deepEqual([leaves({}), leaves({ updateFreq: 4 }), leaves({ updateFreq: 40 })], [1, 4, 16]);
  assert.equal(leaves({ updateFreq: 4, gradientLeaves: 2 }), 2);
});

test('a stored spec of another release is refused, never read as something else', () => {
  const stored = RunSpec.toJSON(resolveRunSpec(good, models, data)) as Record<string, unknown>;
  assert.throws(() => asResolved(RunSpec.fromJSON({ ...stored, engine: 'native' })), /engine -1, must be one of ENGINE_NATIVE/);
  assert.throws(() => asResolved(RunSpec.fromJSON({ ...stored, gradientLeaves: undefined })), /gradient_leaves/);
});

const refused: readonly (readonly [string, Partial<RunSpec>, readonly string[]])[] = [
  ['unknown model', { model: 'resnet50' }, ['model']],
  ['no model', { model: '' }, ['model']],
  ['malformed manifest', { trainManifest: 'xyz' }, ['train_manifest']],
  ['malformed evaluation manifest', { evalManifest: 'A'.repeat(64) }, ['eval_manifest']],
  ['image size that the patch does not divide', { inputSize: 30 }, ['input_size']],
  ['cutoff beyond epochs', { cutoffEpoch: 11 }, ['cutoff_epoch']],
  ['dropout and drop_path', { dropout: 0.1, dropPath: 0.1 }, ['drop_path']],
  ['a rate of 1', { dropout: 1 }, ['dropout']],
  ['a negative rate', { dropPath: -0.1 }, ['drop_path']],
  ['a rate that is no number', { dropout: Number.NaN }, ['dropout']],
  ['late and linear', { dropMode: DropMode.LATE, dropSchedule: DropSchedule.LINEAR }, ['drop_schedule']],
  ['unknown mode', { dropMode: 9 as DropMode }, ['drop_mode']],
  ['warm-up longer than training', { warmupEpochs: 11 }, ['warmup_epochs']],
  ['default warm-up longer than training', { warmupEpochs: undefined }, ['warmup_epochs']],
  ['warm-up steps beyond training', { warmupSteps: 151n }, ['warmup_steps']],
  ['batch larger than the data', { batchSize: 1002 }, ['batch_size']],
  ['step larger than the data', { updateFreq: 16 }, ['update_freq']],
  ['odd batch with mixup', { batchSize: 63, cutmix: 0 }, ['batch_size']],
  ['odd batch with cutmix', { batchSize: 63, mixup: 0 }, ['batch_size']],
  ['odd batch with cutmix_minmax', { batchSize: 63, mixup: 0, cutmix: 0, cutmixMinmax: [0.2, 0.8] }, ['batch_size']],
  ['negative alphas', { mixup: -1, cutmix: -0.5 }, ['mixup', 'cutmix']],
  ['infinite alpha', { mixup: Number.POSITIVE_INFINITY }, ['mixup']],
  ['betas', { optBetas: [0.9] }, ['opt_betas']],
  ['a beta of 1', { optBetas: [0.9, 1] }, ['opt_betas']],
  ['minmax the wrong way round', { cutmixMinmax: [0.8, 0.2] }, ['cutmix_minmax']],
  ['unknown optimizer', { opt: 9 as Optimizer }, ['opt']],
  ['unknown engine', { engine: 9 as Engine }, ['engine']],
  ['unknown precision', { precision: 9 as Precision }, ['precision']],
  [
    'bf16 and blocks run again on TensorFlow.js',
    { engine: Engine.TFJS, precision: Precision.BF16, checkpointBlocks: true },
    ['precision', 'checkpoint_blocks'],
  ],
  ['clip of 0', { clipGrad: 0 }, ['clip_grad']],
  ['layer decay', { layerDecay: 0.8 }, ['layer_decay']],
  ['layer decay of another ConvNeXt', { model: 'convnext_tiny', layerDecay: 0.8 }, ['layer_decay']],
  ['layer scale', { layerScaleInitValue: 0.1 }, ['layer_scale_init_value']],
  ["a ConvNeXt's dropout", { model: 'convnext_femto', dropout: 0.1 }, ['dropout']],
  ['EMA evaluation without EMA', { modelEmaEval: true }, ['model_ema_eval']],
  ['rate beside a schedule', { schedule: 'projects/p/schedules/s', dropout: 0 }, ['dropout']],
  ['revision without a schedule', { scheduleRevision: 1n }, ['schedule_revision']],
  ['following without a schedule', { followSchedule: true }, ['follow_schedule']],
  ['fewer classes than the data', { nbClasses: 1 }, ['nb_classes']],
  ['everything held out', { holdoutStride: 1 }, ['holdout_stride']],
  ['offset beyond the stride', { holdoutStride: 7, holdoutOffset: 7 }, ['holdout_offset']],
  ['no leaves', { gradientLeaves: 0 }, ['gradient_leaves']],
  ['more leaves than can be', { updateFreq: 15, gradientLeaves: 17 }, ['gradient_leaves']],
  ['more leaves than micro-batches', { updateFreq: 3, gradientLeaves: 4 }, ['gradient_leaves']],
  ['more workers than leaves', { updateFreq: 8, gradientLeaves: 4, workers: { min: 1, max: 5 } }, ['workers.max']],
  ['workers for a step of one micro-batch', { workers: { min: 0, max: 2 } }, ['workers.max']],
  ['fewer workers at most than at least', { updateFreq: 8, workers: { min: 3, max: 2 } }, ['workers.max']],
  ['more workers at least than leaves', { updateFreq: 2, workers: { min: 3, max: 0 } }, ['workers.min']],
  ['negative numbers of workers', { updateFreq: 2, workers: { min: -1, max: -2 } }, ['workers.min', 'workers.max']],
  [
    'several workers with a scaled loss',
    { updateFreq: 2, workers: { min: 1, max: 2 }, engine: Engine.WEBGPU, precision: Precision.F16 },
    ['workers.max'],
  ],
  ['a priority that is none', { priority: 1001 }, ['priority']],
  ['more classes than a model can have', { nbClasses: 100_001 }, ['nb_classes']],
  ['checkpoints rarer than epochs', { saveCkptFreq: 11 }, ['save_ckpt_freq']],
];
for (const [what, part, fields] of refused) {
  test(`refused: ${what}`, () => assert.deepEqual(violationsOf(part), fields));
}

test('a ConvNeXt takes what only ConvNeXt knows, and stochastic depth', () => {
  const part = { layerScaleInitValue: 0, headInitScale: 0.001, dropPath: 0.1 };
  assert.deepEqual(violationsOf({ ...part, model: 'convnext_small', layerDecay: 0.8 }), []);
  assert.deepEqual(violationsOf({ ...part, model: 'convnext_nano_p2' }), []);
});

test('warm-up by steps makes warmup_epochs irrelevant, as long as the training', () => {
  assert.deepEqual(violationsOf({ warmupEpochs: undefined, warmupSteps: 150n }), []);
});

test('all violations come at once, with value and what is allowed', () => {
  const violations = new Violations();
  checkRunSpec(violations, { ...good, model: 'x', dropout: 2, mixup: -1, cutoffEpoch: 99, opt: -1 as Optimizer }, models);
  assert.deepEqual(
    violations.list.map(({ field }) => field),
    ['spec.model', 'spec.dropout', 'spec.opt', 'spec.mixup', 'spec.cutoff_epoch'],
  );
  for (const { value, allowed } of violations.list) assert.ok(value.length > 0 && allowed.length > 0);
});

test('lengths: held-out samples and trailing micro-batches are left out', () => {
  const none = new Violations();
  const length = checkLength(none, { ...good, batchSize: 10, updateFreq: 3, holdoutStride: 7, holdoutOffset: 2, warmupEpochs: 2 }, data);
  // Held out: 2, 9, … 996 = 143 samples; 857 left; 28 steps of 30 samples.
  assert.deepEqual(length, { trainSamples: 857, stepsPerEpoch: 28, totalSteps: 280, warmupSteps: 56 });
  assert.ok(none.empty);
});

test('evaluation data must have the same classes', () => {
  const violations = new Violations();
  checkEvaluationData(violations, good, data, { samples: 5, classes: ['dog', 'cat'] });
  assert.equal(violations.list[0]?.field, 'spec.eval_manifest');
  assert.match(violations.list[0].allowed, /; it has the same classes in another order: class 0 is "dog" instead of "cat"$/);
});

test('a pinned schedule decides the drop options and its revision', () => {
  const spec = { kind: DropKind.DROP_PATH, rate: 0.3, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 4 };
  const resolved = resolveRunSpec({ ...good, schedule: 'projects/p/schedules/s' }, models, data, {
    revision: 3n,
    spec,
  });
  assert.deepEqual([resolved.dropPath, resolved.dropout, resolved.dropMode, resolved.scheduleRevision], [0.3, 0, DropMode.EARLY, 3n]);
  assert.deepEqual(dropScheduleOf(resolved), spec);
});

test('digests tell specs apart', () => {
  assert.equal(requestDigest(good, { a: '1', b: '2' }), requestDigest({ ...good }, { b: '2', a: '1' }));
  assert.notEqual(requestDigest(good, {}), requestDigest(good, { a: '1' }));
  assert.notEqual(requestDigest(good, {}), requestDigest({ ...good, mixup: 0.8 }, {}), 'given and defaulted are different requests');
});

test('no spec makes the checks throw, and only unsound values are refused by their own rule', () => {
  const numbers = fc.record(
    { dropout: fc.double(), lr: fc.double(), mixup: fc.double(), smoothing: fc.double(), batchSize: fc.nat() },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(numbers, (part) => {
      const fields = new Set(violationsOf(part as Partial<RunSpec>));
      for (const [key, value] of Object.entries(part)) {
        const { name, holds } = runOptions[key as keyof typeof part];
        if (!holds(value as number)) assert.ok(fields.has(name), name);
      }
    }),
  );
});
