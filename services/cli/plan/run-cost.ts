/** Estimates the memory and time of a run on this machine, from the compiled program and a few measured steps. */
import { freemem } from 'node:os';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { engines, optimizers, precisions } from '#spec/words.js';

export interface RunCost {
  /** Bytes of the program outside of JavaScript's heap; an estimate if `measured` is false. */
  readonly memoryBytes: number;
  /** Seconds of an optimizer step, without waiting for data. */
  readonly secondsPerStep: number;
  readonly measured: boolean;
  /** A sentence that says how the numbers were obtained. */
  readonly how: string;
}

/** Multiply-adds per second that an estimate without measurement assumes. */
const ASSUMED_MACS = 50e9;
/** The backward pass costs twice as much as the forward pass. */
const PASSES = 3;
/** Parameters, gradients and two moments. */
const COPIES = 4;
/** Largest number of seconds for one measured step. */
const PATIENCE_SECONDS = 8;

/** Measures if the program fits into half of the free memory, and estimates otherwise. @param spec resolved spec */
export async function runCost(spec: RunSpec, signal: AbortSignal): Promise<RunCost> {
  // Imported on demand, because only plans need an engine here.
  const [{ planOnEngine }, { trace }, { modelConfig }, { elements }] = await Promise.all([
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
      how: `estimated, not measured, because too little memory is free: linear layers at ${ASSUMED_MACS / 1e9} billion multiply-adds per second`,
    };
  }
  const options = { precision: precisions.wordOf(spec.precision), checkpointBlocks: spec.checkpointBlocks ?? false };
  const sized = { ...shapes, batch: batchSize };
  // A worker of the run chooses for itself; this is what one on this machine would do.
  const { planned } = await planOnEngine(engines.wordOf(spec.engine), model, sized, options, signal);
  const program = await planned.create();
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
    // The first step is slower, because it touches the memory for the first time; the second one is measured.
    await step(1, false);
    const samples = (await step(1, false)) * program.chunkSamples < PATIENCE_SECONDS ? program.chunkSamples : 1;
    const gradients = Math.min(await step(samples, false), await step(samples, false));
    const update = Math.max(0, (await step(samples, true)) - gradients);
    return {
      memoryBytes: program.peakBytes,
      secondsPerStep: (gradients / samples) * images + update,
      measured: true,
      how: `measured here: steps of ${samples} ${samples === 1 ? 'image' : 'images'} on ${program.fingerprint.executor} (${program.fingerprint.precision}, ${program.fingerprint.kernelPath}); does not include waiting for data and evaluations`,
    };
  } finally {
    program.dispose();
  }
}
