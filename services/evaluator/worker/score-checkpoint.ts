/** Scores one checkpoint: every sample of the data set once, in order, with the weights and, where asked for, their moving average. */

import { finishPlanOf } from '#data/client/batch.js';
import { BatchClient } from '#data/client/batch-client.js';
import { softTargets } from '#data/plan/augment/mix-plan.js';
import { compile, type ExecutorName, type NamedTensor, type Precision, type Program } from '#engine/index.js';
import { finishBatch } from '#native/pixels.js';
import { modelConfig } from '#nn/models/registry.js';
import type { Plan } from '#protocol/dropstream/v1/data.js';
import type { EvaluationResult, EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { loadCheckpoint } from '#storage/checkpoint.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Tensor } from '#storage/tensor.js';
import { readTrainingMetadata } from '#work/training-metadata.js';
import { ScoreSums } from './scores.js';

export interface ScoreOptions {
  readonly store: ObjectStore;
  /** projects/{project} */
  readonly parent: string;
  /** Resolved. */
  readonly spec: EvaluationSpec;
  readonly data: { readonly addresses: readonly string[]; readonly inFlight: number; readonly inFlightBytes: number };
  /** After each batch: samples scored so far. */
  readonly onProgress: (samples: number) => void;
  readonly onImages: (count: number) => void;
  readonly signal: AbortSignal;
}

export async function scoreCheckpoint(options: ScoreOptions): Promise<EvaluationResult> {
  const begun = performance.now();
  const { store, spec, signal } = options;
  const wantsEma = spec.ema === true;
  const loaded = await loadCheckpoint(store, `${spec.checkpoint}/manifest.json`, {
    groups: wantsEma ? ['weights', 'ema'] : ['weights'],
    signal,
  });
  const { model, spec: runSpec } = readTrainingMetadata(spec.checkpoint, loaded.manifest.metadata);
  const trained = RunSpec.fromJSON(runSpec);
  const program = await compile(
    // Without layer scale a ConvNeXt has other parameters.
    modelConfig(model.name, model, { layerScaleInitValue: trained.layerScaleInitValue }),
    { imageSize: model.imageSize, classes: model.classes, batch: spec.batchSize as number },
    { executor: executorOf(spec.engine as string), precision: (spec.precision ?? 'fp32') as Precision, evaluateOnly: true },
  );
  try {
    const { weights, ema } = loaded.tensors;
    await program.importState({ weights: named(weights), ...(ema && { ema: named(ema) }) });
    const plan = evaluationPlan(spec, trained, model.imageSize);
    const scores = await scoreAll(program, plan, wantsEma && ema !== undefined, options);
    return {
      samples: BigInt(scores.weights.samples),
      weights: scores.weights.scores(),
      ema: scores.ema?.scores(),
      step: BigInt(loaded.manifest.step),
      seconds: (performance.now() - begun) / 1000,
    };
  } finally {
    program.dispose();
  }
}

/** Sequential, so each sample once; the last batch may be short. */
export function evaluationPlan(spec: EvaluationSpec, run: RunSpec, inputSize: number): Plan {
  return {
    dataset: { manifest: spec.manifest },
    seed: 0n,
    batchSize: spec.batchSize as number,
    rank: 0,
    worldSize: 1,
    order: 'sequential',
    transform: {
      inputSize,
      training: false,
      colorJitter: undefined,
      aa: undefined,
      trainInterpolation: undefined,
      cropPct: spec.cropPct,
      reprob: undefined,
      remode: undefined,
      recount: undefined,
      imagenetDefaultMeanAndStd: run.imagenetDefaultMeanAndStd,
      cropPadding: undefined,
      hflip: undefined,
    },
    mix: undefined,
    pixelSemantics: 0,
    subsetStride: spec.subsetStride ?? 0,
    subsetOffset: spec.subsetOffset ?? 0,
    subsetInvert: false,
  };
}

async function scoreAll(
  program: Program,
  plan: Plan,
  withEma: boolean,
  { parent, data, onProgress, onImages, signal }: ScoreOptions,
): Promise<{ weights: ScoreSums; ema: ScoreSums | undefined }> {
  const weights = new ScoreSums(program.classes);
  const ema = withEma ? new ScoreSums(program.classes) : undefined;
  const client = new BatchClient(data);
  let buffer = new Float32Array(0);
  try {
    for await (const batch of client.batches({ plan, parent, epochs: 1, signal })) {
      const { header, payload } = batch;
      const samples = header.samples.length;
      const floats = samples * program.imageFloats;
      if (buffer.length < floats) buffer = new Float32Array(floats);
      const images = buffer.subarray(0, floats);
      try {
        await finishBatch(payload, samples, header.size, finishPlanOf(header), images);
      } finally {
        batch.release();
      }
      const labels = header.samples.map(({ label }) => label);
      const targets = softTargets(
        labels,
        labels.map(() => null),
        program.classes,
        0,
      );
      for (const [sums, state] of [
        [weights, 'weights'],
        [ema, 'ema'],
      ] as const) {
        if (sums === undefined) continue;
        const { logits, losses } = await program.evaluate({ images, targets, samples }, state);
        sums.add(logits, losses, labels);
        onImages(samples);
      }
      signal.throwIfAborted();
      onProgress(weights.samples);
    }
  } finally {
    client.close();
  }
  return { weights, ema };
}

function named(tensors: readonly Tensor[] | undefined): NamedTensor[] {
  return (tensors ?? []).map(({ name, dtype, shape, data }) => {
    if (dtype !== 'F32') throw new RangeError(`tensor ${name} is ${dtype}, must be F32`);
    return { name, shape: [...shape], data: data as Float32Array };
  });
}

function executorOf(engine: string): ExecutorName {
  if (engine === 'tensorflow') return 'tfjs-tensorflow';
  return engine === 'tfjs' ? 'tfjs-cpu' : 'native';
}
