import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { engineInfo } from '#native/addon.js';
import type { Executable, MicroBatch, OptimizerScalars, StateName, StepRandomness } from '../executable.js';
import { createProgram } from './program.js';
import type { Instruction, ProgramSpec } from './program-spec.js';

const FEATURES = 12;
const CLASSES = 5;
const SAMPLES = 7;
const CHUNK = 3;

/** images[n, 1, 3, 4] → patches → dropout → linear → cross-entropy, and a drop path around the dropped features. */
function classifier(): ProgramSpec {
  const floats = [FEATURES, FEATURES, FEATURES, FEATURES, CLASSES, 1, CLASSES, FEATURES];
  let offset = 0;
  const values = floats.map((elementsPerSample) => {
    const value = { offset, elementsPerSample };
    offset += Math.ceil((elementsPerSample * CHUNK) / 16) * 16;
    return value;
  });
  const [x, dropped, kept, sum, logits, loss, dlogits] = values.keys();
  const instruction = (
    kernel: Instruction['kernel'],
    domain: number,
    inputs: Instruction['inputs'],
    outputs: Instruction['outputs'],
    attributes: Instruction['attributes'],
    site?: number,
  ): Instruction =>
    site === undefined ? { kernel, domain, inputs, outputs, attributes } : { kernel, domain, inputs, outputs, attributes, site };
  const value = (index: number | undefined) => ({ value: index as number });
  return {
    chunkSamples: CHUNK,
    arenaFloats: offset,
    values,
    parameters: [{ size: CLASSES * FEATURES }, { size: CLASSES }],
    paths: 1,
    sites: [{ elementsPerSample: FEATURES }],
    imageFloats: FEATURES,
    classes: CLASSES,
    forward: [
      instruction('patches', 0, [{ input: 'images' }], [value(x)], { channels: 1, height: 3, width: 4, patch: 1 }),
      instruction('dropout', 0, [value(x)], [value(dropped)], { rows: 1, width: FEATURES }, 0),
      instruction('gather_kept', 1, [value(dropped)], [value(kept)], { width: FEATURES, path: 0 }),
      instruction('scatter_add_kept', 0, [value(x), value(kept)], [value(sum)], { width: FEATURES, path: 0, scaled: 1 }),
      instruction('linear', 0, [value(sum), { param: 0 }, { param: 1 }], [value(logits)], { rows: 1, in: FEATURES, out: CLASSES, bias: 1 }),
      instruction('softmax_cross_entropy', 0, [value(logits), { input: 'targets' }], [value(loss), value(dlogits)], { classes: CLASSES }),
    ],
    backward: [
      instruction('linear_weight_grad', 0, [value(sum), value(dlogits)], [{ grad: 0 }, { grad: 1 }], {
        rows: 1,
        in: FEATURES,
        out: CLASSES,
      }),
    ],
    logits: logits as number,
    loss: loss as number,
  };
}

const wave = (length: number, phase: number) => Float32Array.from({ length }, (_, i) => Math.sin(1.7 * i + phase));

function batch(samples = SAMPLES, firstSample = 20): MicroBatch<Float32Array> {
  const targets = new Float32Array(samples * CLASSES);
  for (let i = 0; i < samples; i++) targets[i * CLASSES + (i % CLASSES)] = 1;
  return { images: wave(samples * FEATURES, 0), targets, samples, firstSample };
}

const randomness = (site = 0, path = 0, step = 3): StepRandomness => ({
  seed: 0x0123456789abcdefn,
  step,
  siteRates: Float64Array.of(site),
  pathRates: Float64Array.of(path),
});

const adamw = (step: number): OptimizerScalars => ({
  kind: 'adamw',
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  momentum: 0.9,
  step,
  clip: 1,
  learningRate: Float64Array.of(0.01, 0.01),
  weightDecay: Float64Array.of(0.05, 0),
  emaDecay: 0.99,
});

async function start(): Promise<Executable> {
  const program = createProgram(classifier());
  await write(program, 'weights', 0, wave(CLASSES * FEATURES, 1));
  await write(program, 'weights', 1, wave(CLASSES, 2));
  return program;
}

const SIZES = [CLASSES * FEATURES, CLASSES];

async function read(program: Executable, state: StateName, parameter: number): Promise<Float32Array> {
  const values = new Float32Array(SIZES[parameter]!);
  await program.read(state, [{ parameter, values }]);
  return values;
}

const write = (program: Executable, state: StateName, parameter: number, values: Float32Array) =>
  program.write(state, [{ parameter, values }]);

/** A step of one leaf, its two calls queued at once. */
async function step(
  program: Executable,
  microBatches: MicroBatch<Float32Array>[],
  random: StepRandomness,
  lossScale: number,
  optimizer?: OptimizerScalars,
) {
  const leaf = program.accumulate({ microBatches, random, lossScale, index: 0, leaves: 1 });
  const settled = await Promise.allSettled([leaf, program.update(optimizer)]);
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
  const [samples, update] = settled.map((one) => (one as PromiseFulfilledResult<object>).value);
  return { ...(samples as Awaited<typeof leaf>), ...(update as { gradNorm: number }) };
}

/** Word of Philox 4x32-10 at `element`, written with BigInt from the algorithm's definition, independent of both implementations in use. */
function philoxWord(seed: bigint, site: number, sample: number, step: number, element: number): number {
  const low = 0xffffffffn;
  let counter = [BigInt(element >>> 2), BigInt(sample), BigInt(site), BigInt(step)] as [bigint, bigint, bigint, bigint];
  let k0 = seed & low;
  let k1 = (seed >> 32n) & low;
  for (let round = 0; round < 10; round++) {
    const a = 0xd2511f53n * counter[0];
    const b = 0xcd9e8d57n * counter[2];
    counter = [(b >> 32n) ^ counter[1] ^ k0, b & low, (a >> 32n) ^ counter[3] ^ k1, a & low];
    k0 = (k0 + 0x9e3779b9n) & low;
    k1 = (k1 + 0xbb67ae85n) & low;
  }
  return Number(counter[element & 3]);
}

test('gradients equal finite differences of the loss', async () => {
  const program = await start();
  const scale = 1 / SAMPLES;
  const mean = async () => {
    const { losses } = await step(program, [batch()], randomness(0.2, 0.3), scale);
    return losses.reduce((a, b) => a + b, 0) * scale;
  };
  for (const parameter of [0, 1]) {
    await mean();
    const gradient = await read(program, 'gradients', parameter);
    const weights = await read(program, 'weights', parameter);
    for (let i = 0; i < weights.length; i += 7) {
      const side = [];
      for (const step of [1e-2, -1e-2]) {
        const moved = weights.slice();
        moved[i] = weights[i]! + step;
        await write(program, 'weights', parameter, moved);
        side.push(await mean());
      }
      await write(program, 'weights', parameter, weights);
      assert.ok(Math.abs((side[0]! - side[1]!) / 2e-2 - gradient[i]!) < 2e-4, `parameter ${parameter} element ${i}`);
    }
  }
  program.dispose();
});

test('masks come from the counter: dropout and drop path equal a plain Philox, over chunks and micro-batches', async () => {
  const program = await start();
  const identity = new Float32Array(CLASSES * FEATURES);
  for (let c = 0; c < CLASSES; c++) identity[c * FEATURES + c] = 1; // logits show the first features
  await write(program, 'weights', 0, identity);
  await write(program, 'weights', 1, new Float32Array(CLASSES));
  const random = randomness(0.4, 0.5);
  const first = batch(4, 20);
  const second = batch(5, 24);
  const { logits } = await step(program, [first, second], random, 1);
  const limit = (p: number) => Math.ceil((1 - p) * 2 ** 32);
  for (let sample = 0; sample < 9; sample++) {
    const image = sample < 4 ? first.images.subarray(sample * FEATURES) : second.images.subarray((sample - 4) * FEATURES);
    const branch = philoxWord(random.seed, 0x80000000, 20 + sample, random.step, 0) < limit(0.5);
    for (let c = 0; c < CLASSES; c++) {
      const kept = philoxWord(random.seed, 0, 20 + sample, random.step, c) < limit(0.4);
      const expected = image[c]! + (branch && kept ? image[c]! / 0.6 / 0.5 : 0);
      assert.ok(Math.abs(logits[sample * CLASSES + c]! - expected) < 1e-6, `sample ${sample} class ${c}`);
    }
  }
  // Explicit masks replace the draws: rows count over all micro-batches.
  const siteMask = Uint8Array.from({ length: 9 * FEATURES }, (_, i) => ((i * 7) % 3 === 0 ? 1 : 0));
  const pathMask = Uint8Array.from({ length: 9 }, (_, i) => i % 2);
  const masked = await step(program, [first, second], { ...random, siteMasks: [siteMask], pathMasks: [pathMask] }, 1);
  for (let sample = 0; sample < 9; sample++) {
    const image = sample < 4 ? first.images.subarray(sample * FEATURES) : second.images.subarray((sample - 4) * FEATURES);
    for (let c = 0; c < CLASSES; c++) {
      const expected = image[c]! + (pathMask[sample] && siteMask[sample * FEATURES + c] ? image[c]! / 0.6 / 0.5 : 0);
      assert.ok(Math.abs(masked.logits[sample * CLASSES + c]! - expected) < 1e-6, `masked sample ${sample} class ${c}`);
    }
  }
  program.dispose();
});

test('AdamW, clipping and EMA follow their formulas; evaluation uses the state asked for', async () => {
  const program = await start();
  const before = [await read(program, 'weights', 0), await read(program, 'weights', 1)];
  for (const parameter of [0, 1]) await write(program, 'ema', parameter, before[parameter]!);
  const { gradNorm } = await step(program, [batch()], randomness(), 1, adamw(1));
  const gradients = [await read(program, 'gradients', 0), await read(program, 'gradients', 1)];
  const norm = Math.sqrt(gradients.flatMap((g) => [...g]).reduce((a, g) => a + g * g, 0));
  assert.ok(Math.abs(gradNorm - norm) < 1e-6 * norm);
  const factor = Math.min(1, 1 / (norm + 1e-6));
  for (const parameter of [0, 1]) {
    const weights = await read(program, 'weights', parameter);
    const ema = await read(program, 'ema', parameter);
    for (let i = 0; i < weights.length; i++) {
      const g = gradients[parameter]![i]! * factor;
      const decayed = before[parameter]![i]! * (1 - 0.01 * (parameter === 0 ? 0.05 : 0));
      const expected = decayed - ((0.01 / 0.1) * (0.1 * g)) / (Math.sqrt(0.001 * g * g) / Math.sqrt(1 - 0.999) + 1e-8);
      assert.ok(Math.abs(weights[i]! - expected) < 1e-6, `weight ${i}`);
      assert.ok(Math.abs(ema[i]! - (0.99 * before[parameter]![i]! + 0.01 * expected)) < 1e-6, `ema ${i}`);
    }
  }
  const current = await program.evaluate(batch(), 'weights');
  const smooth = await program.evaluate(batch(), 'ema');
  assert.notDeepEqual(current.logits, smooth.logits);
  for (const parameter of [0, 1]) await write(program, 'weights', parameter, await read(program, 'ema', parameter));
  assert.deepEqual((await program.evaluate(batch(), 'weights')).logits, smooth.logits);
  program.dispose();
});

test('equal bits for 1, 2 and 3 threads, on every instruction set', () => {
  const child = fileURLToPath(new URL('../../../test/support/engine-bits.ts', import.meta.url));
  const bits = (isa: string, threads: number) => {
    const env = { ...process.env, DROPSTREAM_ISA: isa, DROPSTREAM_THREADS: String(threads) };
    const result = spawnSync(process.execPath, ['--conditions=source', '--import', 'tsx', child], {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(result.status, 0, result.stderr);
    return JSON.parse(result.stdout) as { isa: string; threads: number; sha256: string };
  };
  for (const isa of engineInfo().available) {
    const [one, two, three] = [1, 2, 3].map((threads) => bits(isa, threads));
    assert.deepEqual(one, { isa, threads: 1, sha256: one!.sha256 });
    assert.deepEqual(two, { ...one, threads: 2 });
    assert.deepEqual(three, { ...one, threads: 3 });
  }
});

test('a wrong program is rejected, and the error names the place and what is allowed', () => {
  const refused = (change: (spec: ProgramSpec) => void, pattern: RegExp) => {
    const spec = classifier();
    change(spec);
    assert.throws(() => createProgram(spec), pattern);
  };
  refused((s) => (s.values[4]!.offset += 1), /values\[4\]\.offset is \d+, must be a multiple of 16/);
  refused((s) => (s.values[4]!.offset += 1600), /values\[4\] ends beyond arenaFloats/);
  refused((s) => (s.chunkSamples = 0), /chunkSamples is 0, must be from 1/);
  refused((s) => (s.forward[4]!.attributes.in = 13), /forward\[4\] linear: input 0 has 12 elements, must have 13/);
  refused((s) => (s.forward[4]!.attributes.rows = 0.5), /forward\[4\] linear: attribute rows is 0\.5/);
  refused((s) => delete s.forward[4]!.attributes.out, /forward\[4\] linear: attribute out is missing/);
  refused((s) => (s.forward[4]!.attributes.speed = 1), /attribute speed is not known here/);
  refused((s) => (s.forward[4]!.inputs[1] = { param: 9 }), /input 1 is parameter 9, must be below 2/);
  refused((s) => (s.forward[4]!.inputs[1] = { value: 0 }), /input 1 must be a parameter/);
  refused((s) => (s.forward[4]!.outputs[0] = { value: 99 }), /output 0 is value 99, must be below 8/);
  refused((s) => (s.forward[4]!.outputs = []), /outputs number 0, must be 1/);
  refused((s) => (s.forward[4]!.domain = 4), /domain is 4, must be at most paths = 1/);
  refused((s) => (s.forward[1]!.site = 3), /site is 3, must be below 1/);
  refused((s) => delete s.forward[1]!.site, /site is missing/);
  refused((s) => (s.forward[2]!.domain = 0), /gather_kept: domain is 0, must be 1/);
  refused((s) => (s.values[4]!.offset = s.values[3]!.offset), /linear: output 0 overlaps input 0/);
  refused((s) => (s.backward[0]!.outputs[1] = { grad: 0 }), /output 1 has 60 elements, must have 5/);
  refused((s) => ((s.forward[0] as { kernel: string }).kernel = 'rm'), /forward\[0\] rm: kernel is "rm"/);
  refused((s) => (s.logits = 3), /logits must name a value/);
  refused((s) => (s.loss = 1e9), /loss must name a value/);
  refused((s) => ((s as { sites: unknown }).sites = 5), /spec\.sites must be an array/);
});

test('a wrong call rejects and changes nothing', async () => {
  const program = await start();
  const ok = batch();
  const rejected = (micro: MicroBatch<Float32Array>[], random: StepRandomness, optimizer: OptimizerScalars | undefined, pattern: RegExp) =>
    assert.rejects(step(program, micro, random, 1, optimizer), pattern);
  await rejected(
    [{ ...ok, images: ok.images.subarray(1) }],
    randomness(),
    undefined,
    /leaf\.microBatches\[0\]\.images must be of 84 elements, has 83/,
  );
  await rejected([{ ...ok, samples: 0 }], randomness(), undefined, /images must be of 0 elements/);
  await rejected([], randomness(), undefined, /at least one micro-batch/);
  await rejected([ok], randomness(1), undefined, /siteRates has 1\.0+, must be at least 0 and below 1/);
  await rejected([ok], { ...randomness(), pathRates: new Float64Array(2) }, undefined, /pathRates has 2 entries, must have 1/);
  await rejected([ok], { ...randomness(), siteMasks: [new Uint8Array(3)] }, undefined, /siteMasks\[0\] must be of 84 bytes, has 3/);
  await rejected([ok], randomness(), { ...adamw(1), learningRate: new Float64Array(1) }, /one entry per parameter/);
  await rejected([ok], randomness(), { ...adamw(1), step: 0 }, /optimizer\.step is 0/);
  await assert.rejects(
    program.read('weights', [{ parameter: 2, values: new Float32Array(1) }]),
    /parameter must be a whole number from 0 to 1/,
  );
  await assert.rejects(read(program, 'velocity' as 'ema', 0), /state must be/);
  await assert.rejects(write(program, 'weights', 1, new Float32Array(4)), /values must be of 5 elements, has 4/);
  await assert.rejects(write(program, 'gradients', 1, new Float32Array(5)), /gradients cannot be written/);
  assert.deepEqual(await read(program, 'weights', 1), wave(CLASSES, 2));
  program.dispose();
});

test('calls run in the order in which they were made; dispose frees memory after the running call', async () => {
  const program = await start();
  const calls = [1, 2, 3].map((t) => step(program, [batch()], randomness(0.1, 0.1, t), 1, adamw(t)));
  const read0 = read(program, 'weights', 0);
  const outputs = await Promise.all(calls);
  assert.equal(new Set(outputs.map((output) => output.gradNorm)).size, 3);
  assert.deepEqual(await read0, await read(program, 'weights', 0));
  assert.ok(program.memoryBytes > 0);
  const last = step(program, [batch()], randomness(), 1);
  program.dispose();
  await last.catch((error: Error) => assert.match(error.message, /disposed/));
  assert.equal(program.memoryBytes, 0);
  program.dispose();
  await assert.rejects(step(program, [batch()], randomness(), 1), /the program was disposed/);
});

test('neither steps nor programs leak native memory', async () => {
  const resident = () => process.memoryUsage().rss;
  const program = await start();
  const one = batch();
  for (let i = 1; i <= 200; i++) await step(program, [one], randomness(0.1, 0.1, i), 1, adamw(i));
  const stepped = resident();
  for (let i = 1; i <= 2000; i++) await step(program, [one], randomness(0.1, 0.1, i), 1, adamw(i));
  assert.ok(resident() - stepped < 48e6, `steps grew by ${resident() - stepped} bytes`);
  program.dispose();
  // 64 programs of 16 MB each, whose memory is written to: they would take 1 GB if dispose kept it.
  const spec = { ...classifier(), parameters: [...classifier().parameters, { size: 4_000_000 }] };
  const data = new Float32Array(4_000_000).fill(1);
  const before = resident();
  for (let i = 0; i < 64; i++) {
    const big = createProgram(spec);
    await write(big, 'weights', 2, data);
    big.dispose();
  }
  assert.ok(resident() - before < 200e6, `programs grew by ${resident() - before} bytes`);
});

test('a collected program frees its memory, and an environment may end while its program runs', { timeout: 60_000 }, async () => {
  const child = fileURLToPath(new URL('../../../test/support/engine-endings.ts', import.meta.url));
  for (const ending of ['collect', 'exit', 'thread']) {
    const args = ['--expose-gc', '--conditions=source', '--import', 'tsx', child, ending];
    const result = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 30_000 });
    assert.equal(result.status, 0, `${ending}: ${result.signal} ${result.stderr}`);
    assert.equal(result.stdout, `${ending} ok`);
  }
});
