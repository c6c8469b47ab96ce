import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import { trace } from '#graph/trace.js';
import { initialValues } from '#nn/initialisation.js';
import { modelConfig, UnknownModel } from '#nn/models/registry.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { testedExecutors, withoutExecutor } from '../../test/support/executors.js';
import { maxAbsoluteDifference } from '../../test/support/golden-model.js';
import { compile } from './compile.js';
import { abilitiesOf } from './engines.js';
import type { MicroBatch } from './executable.js';
import { ExecutorUnavailable, executorNames, listExecutors, type Precision, UnknownExecutor } from './index.js';
import type { NamedTensor, OptimizerStep, Program, StepRequest } from './program.js';

const shapes = { imageSize: 14, classes: 5, batch: 6 };
const draws = new PhiloxDraws(purposeKey(11n, 'program.test'));
const floats = (count: number, from: number) => Float32Array.from({ length: count }, (_, i) => 2 * draws.uniform(from + i) - 1);

const adamw = (step: number): OptimizerStep => ({
  kind: 'adamw',
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  momentum: 0,
  step,
  clip: 1,
  learningRate: 1e-3,
  weightDecay: 0.05,
  emaDecay: 0.9,
});

/** Step t of a run with dropout, drop path, clipping and EMA: two micro-batches of 6 and 3 samples. */
function request(t: number): StepRequest<MicroBatch<Float32Array>> {
  const batch = (samples: number, firstSample: number) => ({
    images: floats(samples * 3 * 14 * 14, 1000 * t + firstSample),
    targets: Float32Array.from({ length: samples * 5 }, (_, i) => (i % 5 === (i + t) % 3 ? 1 : 0)),
    samples,
    firstSample,
  });
  return {
    microBatches: [batch(6, 0), batch(3, 6)],
    random: { seed: 42n, step: t, dropout: 0.1, blockRates: [0, 0.1, 0.2, 0.3] },
    lossScale: 1 / 9,
    optimizer: adamw(t + 1),
  };
}

async function stateHash(program: Program): Promise<string> {
  const hash = createHash('sha256');
  for (const [part, tensors] of Object.entries(await program.exportState({ ema: true }))) {
    for (const { name, data } of tensors)
      hash
        .update(part)
        .update(name)
        .update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest('hex');
}

for (const executor of testedExecutors) {
  const skip = withoutExecutor(executor);

  test(`${executor}: a run resumed from its exported state goes on bit for bit`, { skip }, async () => {
    const whole = await compile('vit_nano_p7', shapes, { executor });
    const losses: number[] = [];
    await whole.initialize(7n);
    for (let t = 0; t < 4; t++) losses.push((await whole.step(request(t))).loss);
    const first = await compile('vit_nano_p7', shapes, { executor });
    await first.initialize(7n);
    for (let t = 0; t < 2; t++) await first.step(request(t));
    const state = await first.exportState({ ema: true });
    first.dispose();
    const second = await compile('vit_nano_p7', shapes, { executor });
    await second.importState(state);
    for (let t = 2; t < 4; t++) assert.equal((await second.step(request(t))).loss, losses[t]);
    assert.equal(await stateHash(second), await stateHash(whole));
    assert.ok(losses.every(Number.isFinite) && new Set(losses).size === 4);
    for (const program of [whole, second]) program.dispose();
  });

  test(`${executor}: initialising gives the values of libs/nn to the bit, and leaves the event loop turns`, { skip }, async () => {
    for (const [name, imageSize] of [
      ['vit_nano_p7', 14],
      ['mixer_nano_p7', 14],
      ['swin_nano_p2', 28],
      ['convnext_nano_p2', 28],
    ] as const) {
      const program = await compile(name, { imageSize, classes: 5, batch: 2 }, { executor });
      await program.initialize(7n);
      const { parameters } = trace(modelConfig(name, { imageSize, classes: 5 }), { channels: 3, imageSize, classes: 5 });
      const { weights, ema, first_moment, second_moment } = await program.exportState({ ema: true });
      for (const [k, parameter] of parameters.entries()) {
        const expected = initialValues(parameter, 7n);
        assert.deepEqual(weights[k]!.data, expected, `${name} ${parameter.name}`);
        assert.deepEqual(ema![k]!.data, expected, `${name} ${parameter.name}`);
        for (const moment of [first_moment, second_moment]) assert.ok(moment[k]!.data.every((value) => value === 0));
      }
      program.dispose();
    }
  });

  test(`${executor}: an export lies end to end in the memory given, shared or not, and comes back as it was`, { skip }, async () => {
    const program = await compile('vit_nano_p7', shapes, { executor });
    await program.initialize(7n);
    await program.step(request(0));
    const bytes = program.stateBytes({ ema: true });
    assert.equal(bytes, 16 * program.parameterFloats);
    const into = new SharedArrayBuffer(bytes + 64);
    const staged = await program.exportState({ ema: true, into });
    const plain = await program.exportState({ ema: true });
    assert.deepEqual(staged, plain);
    let end = 0;
    for (const { data } of Object.values(staged).flat() as NamedTensor[]) {
      assert.deepEqual([data.buffer, data.byteOffset], [into, end]);
      end += data.byteLength;
    }
    assert.equal(end, bytes);
    await assert.rejects(program.exportState({ ema: true, into: new ArrayBuffer(bytes - 4) }), /into: \d+ bytes, the state has \d+/);
    // An export is a copy: later steps do not change it, and later calls wait for it.
    const exported = program.exportState({ ema: true });
    const stepped = program.step(request(1));
    assert.deepEqual(await exported, plain);
    await stepped;
    assert.notDeepEqual(await program.exportState({ ema: true }), plain);
    await program.importState(plain);
    assert.deepEqual(await program.exportState({ ema: true }), plain);
    program.dispose();
  });

  test(`${executor}: losses come in batch order with their mean; EMA is what evaluation asks for`, { skip }, async () => {
    const program = await compile('vit_nano_p7', shapes, { executor });
    await program.initialize(7n);
    const { microBatches } = request(0);
    const before = await program.evaluate(microBatches[0]!);
    assert.deepEqual(await program.evaluate(microBatches[0]!, 'ema'), before);
    const result = await program.step({ microBatches, random: { seed: 0n, step: 0 }, lossScale: 1, optimizer: adamw(1) });
    assert.equal(result.losses.length, 9);
    assert.ok(maxAbsoluteDifference(result.losses.slice(0, 6), before.losses) <= (executor === 'native' ? 0 : 1e-6));
    assert.ok(Math.abs(result.loss - result.losses.reduce((a, b) => a + b, 0) / 9) < 1e-6);
    const [weights, ema] = [await program.evaluate(microBatches[0]!), await program.evaluate(microBatches[0]!, 'ema')];
    assert.notDeepEqual(weights.losses, before.losses);
    assert.notDeepEqual(ema.losses, weights.losses);
    // A sample's loss does not depend on the other samples: bit for bit natively; TensorFlow's products may round depending on their size.
    const fewer = await program.evaluate(part(microBatches[0]!, 4));
    assert.ok(maxAbsoluteDifference(fewer.losses, weights.losses.slice(0, 4)) <= (executor === 'native' ? 0 : 1e-6));
    program.dispose();
  });

  test(`${executor}: what is refused names the field, and leaves the program as it was`, { skip }, async () => {
    const program = await compile('vit_nano_p7', shapes, { executor });
    await program.initialize(7n);
    const before = await stateHash(program);
    const good = request(0);
    const refuse = (change: Partial<StepRequest>, message: RegExp) => assert.rejects(program.step({ ...good, ...change }), message);
    const [batch] = good.microBatches as [StepRequest['microBatches'][0]];
    await refuse({ microBatches: [] }, /microBatches/);
    await refuse({ microBatches: [{ ...batch, samples: 5 }] }, /images: 3528 floats for 5 samples/);
    await refuse({ microBatches: [{ ...batch, targets: new Float32Array(7) }] }, /targets: 7 floats for 6 samples of 5 classes/);
    await refuse({ microBatches: [{ ...batch, samples: 0 }] }, /samples: 0/);
    await refuse({ lossScale: Number.NaN }, /lossScale/);
    await refuse({ random: { seed: 0n, step: 0, dropout: 1 } }, /dropout: 1 is outside/);
    await refuse({ random: { seed: 0n, step: 0, blockRates: [0, 0.5] } }, /blockRates: 2 rates for 4 blocks/);
    await refuse({ random: { seed: 0n, step: 0, blockRates: [0, 0, 0, 1] } }, /blockRates: 1 is outside/);
    const state = await program.exportState({ ema: false });
    const [head, ...rest] = state.weights as [(typeof state.weights)[0]];
    await assert.rejects(program.importState({ ...state, weights: rest }), /weights: cls_token is missing/);
    await assert.rejects(program.importState({ ...state, weights: [head, head, ...rest] }), /cls_token is there twice/);
    await assert.rejects(program.importState({ ...state, weights: [{ ...head, shape: [64] }, ...rest] }), /cls_token: shape \[64\]/);
    await assert.rejects(program.importState({ ...state, weights: [{ ...head, name: 'x' }, ...rest] }), /no parameter x/);
    await assert.rejects(program.write('weights', 'cls_token', new Float32Array(3)), /cls_token: 3 values given, must be 64/);
    await assert.rejects(program.read('weights', 'nothing'), /no parameter nothing/);
    assert.equal(await stateHash(program), before);
    program.dispose();
  });

  test(`${executor}: gradients hold nothing of the step before, also where a path keeps no sample; their norm is the same with and without clipping`, {
    skip,
  }, async () => {
    const program = await compile('vit_nano_p7', shapes, { executor });
    const names = program.parameters.map(({ name }) => name);
    const gradientsAfter = async (before: readonly StepRequest[], last: StepRequest) => {
      await program.initialize(7n);
      for (const step of before) await program.step(step);
      const { gradNorm } = await program.step(last);
      return { gradNorm, gradients: (await program.readAll('gradients')).map(({ data }) => data) };
    };
    const { optimizer: _, ...plain } = request(0);
    const { optimizer: __, ...next } = request(1);
    // At this rate, no sample passes through the last block.
    const dropped = { ...plain, random: { ...plain.random, blockRates: [0, 0, 0, 1 - 1e-9] } };
    const alone = await gradientsAfter([], dropped);
    assert.deepEqual(await gradientsAfter([plain, next], dropped), alone);
    const of = (prefix: string) => alone.gradients.filter((_, i) => names[i]!.startsWith(prefix));
    assert.ok(of('blocks.3.').length > 4 && of('blocks.3.').every((gradient) => gradient.every((value) => value === 0)));
    assert.ok(of('blocks.2.').some((gradient) => gradient.some((value) => value !== 0)));
    const clipped = async (clip: number) => await gradientsAfter([], { ...plain, optimizer: { ...adamw(1), clip } });
    assert.deepEqual(await clipped(1e-3), await clipped(0));
    program.dispose();
  });

  test(`${executor}: calls queue up, and are answered in the order of asking`, { skip }, async () => {
    const program = await compile('vit_nano_p7', shapes, { executor });
    await program.initialize(7n);
    const calls = [program.step(request(0)), program.step(request(1))];
    const read = program.read('weights', 'cls_token');
    const queued = await Promise.all(calls);
    assert.deepEqual(await read, await program.read('weights', 'cls_token'));
    const other = await compile('vit_nano_p7', shapes, { executor });
    await other.initialize(7n);
    for (const [t, { loss }] of queued.entries()) assert.equal((await other.step(request(t))).loss, loss);
    assert.equal(await stateHash(other), await stateHash(program));
    for (const one of [program, other]) one.dispose();
    await assert.rejects(program.read('weights', 'cls_token'), /disposed/);
    await assert.rejects(program.step(request(0)), /disposed/);
  });
}

function part({ images, targets }: { images: Float32Array; targets: Float32Array }, samples: number) {
  return { images: images.subarray(0, samples * 3 * 14 * 14), targets: targets.subarray(0, samples * 5), samples };
}

test('tfjs-cpu: no tensor outlives the call that made it, and none the program', async () => {
  const program = await compile('vit_nano_p7', shapes, { executor: 'tfjs-cpu' });
  const empty = tf.memory().numTensors;
  await program.initialize(7n);
  await program.step(request(0));
  await program.evaluate(request(0).microBatches[0]!);
  const standing = tf.memory().numTensors;
  assert.ok(standing > empty);
  for (let t = 1; t < 4; t++) await program.step(request(t));
  await program.evaluate(request(0).microBatches[0]!, 'ema');
  await assert.rejects(program.step({ ...request(0), microBatches: [] }));
  assert.equal(tf.memory().numTensors, standing);
  program.dispose();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(tf.memory().numTensors, empty);
});

for (const precision of abilitiesOf('native').precisions) {
  test(`native: after the first step in ${precision} nothing is allocated but the results`, {
    skip: withoutExecutor('native'),
  }, async () => {
    const program = await compile('vit_nano_p7', shapes, { precision });
    await program.initialize(7n);
    const one = request(0);
    for (let t = 0; t < 2; t++) await program.step(one);
    const [bytes, before] = [program.peakBytes, process.memoryUsage().arrayBuffers];
    let results = 0;
    for (let t = 0; t < 10; t++) {
      const { losses, logits } = await program.step(one);
      results += 2 * (losses.byteLength + logits.byteLength); // of the two leaves, and of the step
    }
    // The number is lower if the garbage collector ran in between.
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown <= results, `typed arrays grew by ${grown} bytes for ${results} of results`);
    assert.equal(program.peakBytes, bytes);
    assert.ok(bytes > 0);
    program.dispose();
  });
}

test("native: in every family a sample's loss is the same to the bit in any company", { skip: withoutExecutor('native') }, async () => {
  for (const [name, imageSize] of [
    ['mixer_nano_p7', 28],
    ['swin_nano_p2', 28],
    ['convnext_nano_p2', 28],
  ] as const) {
    const program = await compile(name, { imageSize, classes: 5, batch: 6 });
    await program.initialize(7n);
    const size = 3 * imageSize ** 2;
    const batch = { images: floats(6 * size, 0), targets: floats(30, 90_000).map(Math.abs), samples: 6 };
    const { losses } = await program.evaluate(batch);
    assert.equal(new Set(losses).size, 6);
    for (let i = 0; i < 6; i++) {
      const alone = { images: batch.images.slice(i * size, (i + 1) * size), targets: batch.targets.slice(5 * i, 5 * i + 5), samples: 1 };
      assert.deepEqual((await program.evaluate(alone)).losses, losses.slice(i, i + 1), `${name}: sample ${i}`);
    }
    program.dispose();
  }
});

for (const [precision, steps, counts] of [
  ['fp32', 3, [1, 2, 3]],
  ['bf16', 3, [1, 2, 3]],
  ['fp32', 200, [1, 2]],
  ['bf16', 200, [1, 2]],
] as const) {
  test(`native: ${steps} steps in ${precision} have equal bits with ${counts.join(', ')} threads`, {
    skip: withoutExecutor('native'),
  }, async () => {
    const runs = await Promise.all(counts.map((threads) => trainingBits(threads, steps, precision)));
    assert.deepEqual(
      runs.map(({ threads }) => threads),
      counts,
    );
    assert.equal(new Set(runs.map(({ bits }) => bits)).size, 1);
  });
}

async function trainingBits(threads: number, steps: number, precision: Precision): Promise<{ threads: number; bits: string }> {
  const script = fileURLToPath(new URL('../../test/support/print-training-bits.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', script, String(steps), precision],
    { env: { ...process.env, DROPSTREAM_THREADS: String(threads) }, timeout: 300_000 },
  );
  return JSON.parse(stdout);
}

test('dropout is rejected for a model without dropout sites', async () => {
  const program = await compile('convnext_nano_p2', { ...shapes, imageSize: 8 }, { executor: 'tfjs-cpu' });
  const batch = { images: new Float32Array(3 * 8 * 8), targets: new Float32Array(5), samples: 1, firstSample: 0 };
  const step = { microBatches: [batch], random: { seed: 0n, step: 0, dropout: 0.1 }, lossScale: 1 };
  await assert.rejects(program.step(step), /dropout: 0.1 has no effect on convnext_nano_p2/);
  program.dispose();
});

test('unknown executors are rejected, and unavailable ones say what is missing', async () => {
  await assert.rejects(compile('vit_nano_p7', shapes, { executor: 'abacus' as 'native' }), (error) => {
    return error instanceof UnknownExecutor && error.value === 'abacus' && /native, webgpu, tfjs/.test(error.message);
  });
  await assert.rejects(compile('vit_nano_p7', { ...shapes, imageSize: 15 }), UnknownModel);
  await assert.rejects(compile('vit_nano_p7', { ...shapes, batch: 0 }), /batch: 0/);
  await assert.rejects(
    compile('vit_nano_p7', shapes, { precision: 'fp8' as 'bf16' }),
    /precision: "fp8" is not allowed; allowed: fp32, bf16/,
  );
  const tfjs = { executor: 'tfjs-cpu' } as const;
  await assert.rejects(compile('vit_nano_p7', shapes, { ...tfjs, precision: 'bf16' }), /precision: bf16 is not allowed on executor tfjs/);
  await assert.rejects(compile('vit_nano_p7', shapes, { ...tfjs, checkpointBlocks: true }), /checkpoint_blocks: true is not allowed/);
  const listed = await listExecutors();
  assert.deepEqual(
    listed.map(({ name }) => name),
    [...executorNames],
  );
  assert.ok(listed.find(({ name }) => name === 'tfjs-cpu')?.available);
  const tensorflow = listed.find(({ name }) => name === 'tfjs-tensorflow');
  if (tensorflow?.available) return;
  assert.match(tensorflow?.missing ?? '', /tfjs-node/);
  await assert.rejects(compile('vit_nano_p7', shapes, { executor: 'tfjs-tensorflow' }), ExecutorUnavailable);
});
