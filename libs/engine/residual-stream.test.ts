import assert from 'node:assert/strict';
import { test } from 'node:test';
import { trace } from '#graph/trace.js';
import { constant, initialValues, xavierUniform } from '#nn/initialisation.js';
import { mlp } from '#nn/layers/mlp.js';
import { patchEmbed } from '#nn/layers/patch-embed.js';
import { model } from '#nn/model.js';
import { addPositions } from '#nn/ops/add-positions.js';
import { layerNorm } from '#nn/ops/layer-norm.js';
import { layerScale } from '#nn/ops/layer-scale.js';
import { meanTokens } from '#nn/ops/mean-tokens.js';
import { residual } from '#nn/ops/residual.js';
import { PhiloxDraws, purposeKey } from '#random/philox.js';
import { withoutExecutor } from '../../test/support/executors.js';
import { runFloat64 } from '../../test/support/float64-program.js';
import { norm } from '../../test/support/golden-model.js';
import type { Executable, MicroBatch } from './executable.js';
import { lower } from './native/lower.js';
import { createProgram } from './native/program.js';
import type { Instruction, Operand, ProgramSpec } from './native/program-spec.js';
import { WebgpuProgram } from './webgpu/program.js';

// The effect of blocks on the stream at ConvNeXt's initial layer scale, 1e-6, as the difference to a scale of 0. The model's logits are the mean of
// its stream, and its first parameter is added to it, so only the stream lies between the blocks and the measured values.
const LAYER_SCALE = 1e-6;
const [classes, samples, imageSize, patch, depth] = [16, 4, 28, 4, 4];
const tokens = (imageSize / patch) ** 2;

const stream = model('stream', ({ images, param, drop }) => {
  let x = patchEmbed(images, patch, classes, param('stem'));
  x = addPositions(x, param('positions').declare([tokens, classes], constant(0)));
  for (let k = 0; k < depth; k++) {
    const p = param(`blocks.${k}`);
    x = residual(x, drop.path(k, 0), (y) => {
      const mixed = mlp(layerNorm(y, p('norm')), 4 * classes, p('mlp'), drop(`blocks.${k}`), { weight: xavierUniform });
      return layerScale(mixed, p('gamma').declare([classes], constant(LAYER_SCALE)));
    });
  }
  return meanTokens(x);
});
const graph = trace(stream, { channels: 3, imageSize, classes });
const positions = graph.parameters.findIndex(({ name }) => name === 'positions');

const draws = new PhiloxDraws(purposeKey(31n, 'residual-stream.test'));
const batch: MicroBatch = {
  images: Float32Array.from({ length: samples * 3 * imageSize ** 2 }, (_, i) => 3 * draws.uniform(i) - 1.5),
  targets: Float32Array.from({ length: samples * classes }, (_, i) => (i % classes === Math.floor(i / classes) ? 1 : 0)),
  samples,
  firstSample: 0,
};
const random = { seed: 0n, step: 0, siteRates: new Float64Array(graph.sites.length), pathRates: new Float64Array(graph.paths.length) };

/** Logits, and the gradient of the position embedding. */
type Run = (spec: ProgramSpec, parameters: Float32Array[]) => Promise<Float64Array[]>;

const inFloat64: Run = async (spec, parameters) => {
  const { logits, gradients } = runFloat64(spec, parameters, [batch], random, 1);
  return [logits, gradients[positions]!];
};

const on =
  (create: (spec: ProgramSpec) => Executable | Promise<Executable>): Run =>
  async (spec, parameters) => {
    const program = await create(spec);
    try {
      await program.write(
        'weights',
        parameters.map((values, parameter) => ({ parameter, values })),
      );
      const { logits } = await program.accumulate({ microBatches: [batch], random, lossScale: 1, index: 0, leaves: 1 });
      await program.update();
      const gradient = new Float32Array(parameters[positions]!.length);
      await program.read('gradients', [{ parameter: positions, values: gradient }]);
      return [Float64Array.from(logits), Float64Array.from(gradient)];
    } finally {
      program.dispose();
    }
  };

/** The contribution of the blocks to logits and gradient. */
async function effect(spec: ProgramSpec, run: Run): Promise<Float64Array[]> {
  const parameters = graph.parameters.map((parameter) => initialValues(parameter, 5n));
  const without = graph.parameters.map(({ name }, index) => parameters[index]!.map((value) => (name.endsWith('gamma') ? 0 : value)));
  const [on, off] = [await run(spec, parameters), await run(spec, without)];
  return on.map((values, part) => values.map((value, i) => value - off[part]![i]!));
}

/** Floats to which every machine aligns values. */
const ALIGNMENT = 64;

/** The spec with every value of the stream, forward and backward, rounded to bf16 after each kernel that writes it. */
function withRoundedStream(spec: ProgramSpec): ProgramSpec {
  const values = [...spec.values];
  let { arenaFloats } = spec;
  const round = (operand: Operand, domain: number): Instruction[] => {
    const { elementsPerSample } = values[(operand as { value: number }).value]!;
    const rounded = { value: values.push({ offset: arenaFloats, elementsPerSample, type: 'bf16' }) - 1 };
    arenaFloats += Math.ceil((elementsPerSample * spec.chunkSamples) / (2 * ALIGNMENT)) * ALIGNMENT;
    const copy = { kernel: 'cast', domain, attributes: { width: elementsPerSample } } as const;
    return [
      { ...copy, inputs: [operand], outputs: [rounded] },
      { ...copy, inputs: [rounded], outputs: [operand] },
    ];
  };
  const writesStream = new Set(['add_positions', 'scatter_add_kept', 'mean_tokens_grad']);
  const rounded = (instructions: readonly Instruction[]) =>
    instructions.flatMap((one) => (writesStream.has(one.kernel) ? [one, ...round(one.outputs[0]!, one.domain)] : [one]));
  const [forward, backward] = [rounded(spec.forward), rounded(spec.backward)];
  return { ...spec, values, arenaFloats, forward, backward };
}

/** The spec with the loss's gradient in fp32: in bf16, a millionth may change its rounding, which has nothing to do with the stream. */
function withExactLossGradient(spec: ProgramSpec): ProgramSpec {
  const { value } = spec.forward.at(-1)!.outputs[1] as { value: number };
  const values = spec.values.map((one, index) => (index === value ? { ...one, offset: spec.arenaFloats, type: 'fp32' as const } : one));
  return { ...spec, values, arenaFloats: spec.arenaFloats + ALIGNMENT * Math.ceil((samples * classes) / ALIGNMENT) };
}

const spec = withExactLossGradient(lower(graph, samples, { precision: 'bf16', alignmentFloats: ALIGNMENT }));
const exact = effect(lower(graph, samples), inFloat64);

for (const [machine, run, allowed, skip] of [
  ['float64', inFloat64, 0.05, false],
  ['native', on(createProgram), 0.15, withoutExecutor('native')], // fp32 itself is good to 6e-8 of the stream
  ['webgpu', on((spec) => WebgpuProgram.create(spec, { software: true })), 0.15, withoutExecutor('webgpu')],
] as const) {
  test(`${machine}: in bf16 blocks at layer scale 1e-6 reach logits and gradients; in a stream of bf16 they would vanish`, {
    skip,
  }, async () => {
    const wanted = await exact;
    const errors = (found: Float64Array[]) =>
      found.map((values, part) => norm(values.map((value, i) => value - wanted[part]![i]!)) / norm(wanted[part]!));
    assert.ok(wanted.every((values) => norm(values) > 0));
    const found = errors(await effect(spec, run));
    assert.ok(
      found.every((error) => error < allowed),
      `relative errors of ${found}`,
    );
    const vanished = errors(await effect(withRoundedStream(spec), run));
    assert.ok(
      vanished.every((error) => error > 0.5),
      `relative errors of ${vanished} on a rounded stream`,
    );
  });
}

test('the addon rejects a residual stream in bf16', { skip: withoutExecutor('native') }, () => {
  const sum = spec.forward.find(({ kernel }) => kernel === 'scatter_add_kept')!.outputs[0] as { value: number };
  const values = spec.values.map((value, index) => (index === sum.value ? { ...value, type: 'bf16' as const } : value));
  assert.throws(() => createProgram({ ...spec, values }), /is bf16, must be fp32/);
});
