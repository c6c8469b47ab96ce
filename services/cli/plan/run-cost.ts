/** What a run would take of this machine: memory of the compiled program, and time from a few steps of it. */
import { freemem } from 'node:os';
import { executorOf } from '#engine/engines.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { engines, optimizers, precisions } from '#spec/words.js';

export interface RunCost {
  /** Bytes of the program outside of JavaScript's heap, or about so where `measured` is false. */
  readonly memoryBytes: number;
  /** Of an optimizer step, without waiting for data. */
  readonly secondsPerStep: number;
  readonly measured: boolean;
  /** How the numbers came about, in words. */
  readonly how: string;
}

/** Multiply-adds a second that arithmetic alone assumes. */
const ASSUMED_MACS = 50e9;
/** Forward once, backward twice. */
const PASSES = 3;
/** Parameters, gradients and two moments. */
const COPIES = 4;
/** Seconds that one measured step may take. */
const PATIENCE_SECONDS = 8;

/** Measures where the program fits into half of the free memory; otherwise arithmetic, and said so. `spec`: resolved. */
export async function runCost(spec: RunSpec): Promise<RunCost> {
  // Loaded on demand: only plans need an engine here.
  const [{ compile }, { trace }, { modelConfig }, { elements }] = await Promise.all([
    import('#engine/index.js'),
    import('#graph/trace.js'),
    import('#nn/models/registry.js'),
    import('#nn/tensor.js'),
  ]);
  const { batchSize = 64, updateFreq = 1, inputSize = 224, nbClasses = 1000, layerScaleInitValue, headInitScale } = spec;
  const shapes = { imageSize: inputSize, classes: nbClasses };
  const model = modelConfig(spec.model, shapes, { layerScaleInitValue, headInitScale });
  const graph = trace(model, { channels: 3, ...shapes });
  const parameters = graph.parameters.reduce((sum, { shape }) => sum + elements(shape), 0);
  const images = batchSize * updateFreq;
  const state = parameters * 4 * (COPIES + (spec.modelEma ? 1 : 0));
  if (state * 1.5 > freemem() / 2) {
    const macs = graph.forward.reduce((sum, { attributes: { rows = 0, in: k = 0, out = 0 } }) => sum + rows * k * out, 0);
    return {
      memoryBytes: state,
      secondsPerStep: (PASSES * macs * images) / ASSUMED_MACS,
      measured: false,
      how: `arithmetic, not measured (too little memory is free here): linear layers at ${ASSUMED_MACS / 1e9} billion multiply-adds a second`,
    };
  }
  const options = {
    executor: executorOf(engines.wordOf(spec.engine)),
    precision: precisions.wordOf(spec.precision),
    checkpointBlocks: spec.checkpointBlocks ?? false,
  } as const;
  const program = await compile(model, { ...shapes, batch: batchSize }, options);
  try {
    const kind = optimizers.wordOf(spec.opt);
    const step = async (samples: number, learn: boolean): Promise<number> => {
      const targets = new Float32Array(samples * program.classes);
      for (let k = 0; k < samples; k++) targets[k * program.classes] = 1;
      const batch = { images: new Float32Array(samples * program.imageFloats).fill(0.5), targets, samples, firstSample: 0 };
      const ema = spec.modelEma ? (spec.modelEmaDecay ?? 0.9999) : -1;
      const optimizer = {
        kind,
        learningRate: 0,
        weightDecay: 0,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        momentum: 0.9,
        step: 1,
        clip: 0,
        emaDecay: ema,
      };
      const begun = performance.now();
      await program.step({ microBatches: [batch], random: { seed: 0n, step: 0 }, lossScale: 1 / samples, ...(learn && { optimizer }) });
      return (performance.now() - begun) / 1000;
    };
    // The first step also touches the memory for the first time: the second one says what a step takes.
    await step(1, false);
    const samples = (await step(1, false)) * program.chunkSamples < PATIENCE_SECONDS ? program.chunkSamples : 1;
    const gradients = Math.min(await step(samples, false), await step(samples, false));
    const update = Math.max(0, (await step(samples, true)) - gradients);
    return {
      memoryBytes: program.peakBytes,
      secondsPerStep: (gradients / samples) * images + update,
      measured: true,
      how: `measured here: steps of ${samples} ${samples === 1 ? 'image' : 'images'} on ${program.fingerprint.executor} (${program.fingerprint.precision}, ${program.fingerprint.kernelPath}); waiting for data and evaluations come on top`,
    };
  } finally {
    program.dispose();
  }
}
