import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Optimizer, RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { ScheduleSegment, SegmentFormula } from '#protocol/dropstream/v1/schedule_types.js';
import { Run } from '#protocol/dropstream/v1/trainer.js';
import { planLines, sparkline } from './print-plan.js';
import { runCost } from './run-cost.js';
import { runPlan } from './run-plan.js';

/** As CreateRun answers for the paper's ViT-T with early dropout on ImageNet, 4 · 8 processes. */
const S = 312;
const run = Run.fromPartial({
  stepsPerEpoch: BigInt(S),
  totalSteps: BigInt(300 * S),
  parameters: 5_717_416n,
  dropSegments: [
    ScheduleSegment.fromPartial({ start: 0n, end: BigInt(50 * S), formula: SegmentFormula.LINEAR_TO_ZERO, startValue: 0.1, endValue: 0 }),
    ScheduleSegment.fromPartial({ start: BigInt(50 * S), end: BigInt(300 * S), formula: SegmentFormula.CONSTANT }),
  ],
  spec: RunSpec.fromPartial({
    model: 'vit_tiny',
    batchSize: 128,
    updateFreq: 32,
    epochs: 300,
    dropout: 0.1,
    lr: 4e-3,
    minLr: 1e-6,
    warmupEpochs: 50,
    warmupSteps: -1n,
    weightDecay: 0.05,
    weightDecayEnd: 0.2,
  }),
});
const cost = { memoryBytes: 399e6, secondsPerStep: 2, measured: true, how: 'measured here' };

test('the plan has the lengths, the batch and the curves of the run', () => {
  const plan = runPlan(run, 32, 301);
  assert.deepEqual([plan.totalBatch, plan.microBatches, plan.batchSize, plan.drops], [4096, 32, 128, 'dropout']);
  const [drop, lr, decay] = plan.curves.map(({ samples }) => samples);
  for (const samples of [drop, lr, decay]) assert.deepEqual([samples?.[0]?.step, samples?.at(-1)?.step], [0, 300 * S - 1]);
  assert.deepEqual([drop?.[0]?.value, drop?.[60]?.value, lr?.[0]?.value], [0.1, 0, 0]);
  assert.ok(Math.abs(lr![50]!.value - 4e-3) < 1e-5 && lr!.at(-1)!.value > 1e-6 && lr!.at(-1)!.value < 1.01e-6);
  assert.ok(Math.abs(decay![0]!.value - 0.05) < 1e-12);
  assert.ok(Math.abs(decay!.at(-1)!.value - 0.2) < 1e-6);
});

test('people see batch, lengths, curves, memory and time', () => {
  const text = planLines(runPlan(run, 32), cost).join('\n');
  assert.match(text, /parameters +5,717,416\n/);
  assert.match(text, /total batch +4,096: 32 micro-batches \(update_freq 1 · world 32\) of 128\n/);
  assert.match(text, /steps +312 in each epoch, 93,600 in 300 epochs\n/);
  assert.match(
    text,
    /dropout +█[▁-█]{30}▁ {2}0\.1 → 0\nlearning rate +▁[▁-█]{30}▁ {2}0 → 0\.004 → 1\.0e-6\nweight decay +▃[▁-█]{30}█ {2}0\.05 → 0\.2\n/,
  );
  assert.match(text, /memory +399 MB.*\ntime +about 52 h 00 min: 2\.0 s per step\n +measured here\n/);
  assert.match(text, /dropout +0 +15,599 +linear_to_zero +0\.1 +0\ndropout +15,600 +93,599 +constant +0 +0\n/);
});

test('a curve of zeros is flat', () => {
  assert.equal(sparkline({ samples: [0, 0, 0].map((value, step) => ({ step, value })) }), '▁▁▁');
});

test('memory and time come from steps of the program itself, for any family and optimizer', async () => {
  for (const [model, opt] of [
    ['vit_nano_p7', Optimizer.ADAMW],
    ['convnext_nano_p2', Optimizer.SGD],
    ['mixer_nano_p7', Optimizer.MOMENTUM],
  ] as const) {
    const spec = RunSpec.fromPartial({
      model,
      opt,
      inputSize: 28,
      nbClasses: 10,
      batchSize: 4,
      updateFreq: 2,
      modelEma: true,
      layerScaleInitValue: 1e-6,
      headInitScale: 1,
    });
    const { memoryBytes, secondsPerStep, measured, how } = await runCost(spec, AbortSignal.timeout(60_000));
    assert.ok(measured && memoryBytes > 0 && secondsPerStep > 0 && Number.isFinite(secondsPerStep), model);
    assert.match(how, /measured here: steps of \d+ images? on native/);
  }
});
