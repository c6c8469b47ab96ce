/** Stores weights of other programs as a checkpoint that `train --finetune` and `evaluate` can use. */
import { createHash } from 'node:crypto';
import { modelConfig } from '#nn/models/registry.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { saveCheckpoint } from '#storage/checkpoint.js';
import type { JsonObject } from '#storage/log-record.js';
import type { ObjectStore } from '#storage/object-store.js';
import { bytesOf, type Tensor } from '#storage/tensor.js';
import type { TrainingMetadata } from '#training/checkpoint-metadata.js';
import { checkpointsOf } from '#work/checkpoint-keys.js';
import { Incarnations } from '#work/incarnations.js';
import { CommandError, exitCodes } from './exit-codes.js';

export interface ImportedModel {
  readonly name: string;
  readonly imageSize: number;
  /** Class names in label order. */
  readonly classNames: readonly string[];
}

export interface ModelParameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Names and shapes of a model's parameters, in the model's order. @throws UnknownModel */
export async function modelParameters(model: string, imageSize: number, classes: number): Promise<ModelParameter[]> {
  // Imported on demand, because most commands need no graph.
  const { trace } = await import('#graph/trace.js');
  const shapes = { imageSize, classes };
  return trace(modelConfig(model, shapes), { channels: 3, ...shapes }).parameters.map(({ name, shape }) => ({ name, shape: [...shape] }));
}

/** `imported-<model>-<8 digits of the weights' hash>`: equal weights get equal names. */
export function importedRunId(model: string, weights: readonly Tensor[]): string {
  const hash = createHash('sha256');
  for (const { name, data } of weights) hash.update(name).update(bytesOf(data));
  return `imported-${model.replaceAll('_', '-')}-${hash.digest('hex').slice(0, 8)}`;
}

/**
 * Saves the weights as the checkpoint of step 0 of a run that has no log, so that lists of runs do not show it.
 * @param ema moving average of the weights, if the file has one that is wanted
 * @returns projects/{project}/runs/{run}/checkpoints/{checkpoint}
 * @throws CommandError (exit code 5) if a trained run has this name; FailedPrecondition if version 0.1 stored it
 */
export async function saveImported(
  store: ObjectStore,
  run: string,
  model: ImportedModel,
  weights: readonly Tensor[],
  signal: AbortSignal,
  ema?: readonly Tensor[],
): Promise<string> {
  const { uid, facts } = await new Incarnations(store).mint('run', run, () => ({ imported: true }), signal);
  if (facts.imported !== true)
    throw new CommandError(`${run} is a run that was trained here: choose another id with --run`, exitCodes.conflict);
  const { name, imageSize, classNames } = model;
  const metadata: TrainingMetadata = {
    version: 3,
    run,
    runUid: uid,
    spec: RunSpec.toJSON(RunSpec.fromPartial({ model: name, inputSize: imageSize, nbClasses: classNames.length })),
    model: { name, imageSize, classes: classNames.length, parameters: weights.reduce((sum, { data }) => sum + data.length, 0) },
    classNames,
    ema: ema !== undefined,
    undecodable: [],
  };
  const saved = await saveCheckpoint(
    store,
    checkpointsOf(run, uid),
    {
      step: 0,
      epoch: 0,
      logSequence: 0,
      fingerprint: 'imported',
      epochAccumulators: null,
      best: null,
      metadata: metadata as unknown as JsonObject,
      weights,
      ...(ema && { ema }),
    },
    { signal },
  );
  return `${run}/checkpoints/${saved.id}`;
}
