/** Weights from elsewhere as a checkpoint that `train --finetune` and `evaluate` take like one of ours. */
import { createHash } from 'node:crypto';
import { modelConfig } from '#nn/models/registry.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { saveCheckpoint } from '#storage/checkpoint.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import type { JsonObject } from '#storage/record-log.js';
import { bytesOf, type Tensor } from '#storage/tensor.js';
import type { TrainingMetadata } from '#training/checkpoint-metadata.js';
import { CommandError, exitCodes } from './exit-codes.js';

export interface ImportedModel {
  readonly name: string;
  readonly imageSize: number;
  /** Class names in order of labels. */
  readonly classNames: readonly string[];
}

export interface ModelParameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Names and shapes of a model, in its order. @throws UnknownModel */
export async function modelParameters(model: string, imageSize: number, classes: number): Promise<ModelParameter[]> {
  // Loaded on demand: most commands need no graph.
  const { trace } = await import('#graph/trace.js');
  const shapes = { imageSize, classes };
  return trace(modelConfig(model, shapes), { channels: 3, ...shapes }).parameters.map(({ name, shape }) => ({ name, shape: [...shape] }));
}

/** `imported-<model>-<8 digits of the weights' hash>`: the same weights, the same name. */
export function importedRunId(model: string, weights: readonly Tensor[]): string {
  const hash = createHash('sha256');
  for (const { name, data } of weights) hash.update(name).update(bytesOf(data));
  return `imported-${model.replaceAll('_', '-')}-${hash.digest('hex').slice(0, 8)}`;
}

/**
 * Saves the weights as the checkpoint of step 0 below a run of its own, which no trainer knows: lists of runs do not show it.
 * @returns projects/{project}/runs/{run}/checkpoints/{checkpoint}
 * @throws CommandError (5) where a run of this name was trained here
 */
export async function saveImported(
  store: ObjectStore,
  run: string,
  model: ImportedModel,
  weights: readonly Tensor[],
  signal: AbortSignal,
): Promise<string> {
  for await (const { key } of listAll(store, `${run}/log/`, { signal }))
    throw new CommandError(`${run} is a run that was trained here (${key}): give another --run`, exitCodes.conflict);
  const { name, imageSize, classNames } = model;
  const metadata: TrainingMetadata = {
    version: 2,
    run,
    spec: RunSpec.toJSON(RunSpec.fromPartial({ model: name, inputSize: imageSize, nbClasses: classNames.length })),
    model: { name, imageSize, classes: classNames.length, parameters: weights.reduce((sum, { data }) => sum + data.length, 0) },
    classNames,
    ema: false,
    undecodable: [],
  };
  const saved = await saveCheckpoint(
    store,
    `${run}/checkpoints`,
    {
      step: 0,
      epoch: 0,
      logSequence: 0,
      fingerprint: 'imported',
      epochAccumulators: null,
      best: null,
      metadata: metadata as unknown as JsonObject,
      weights,
    },
    { signal },
  );
  return `${run}/checkpoints/${saved.id}`;
}
