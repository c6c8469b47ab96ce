/**
 * The metadata in the manifest of a training checkpoint, besides step, hashes and fingerprint: everything that an evaluator needs without contact to
 * the trainer. It is JSON. Within a version, the meaning of a field never changes.
 */
import type { Fingerprint, LossScaling } from '#engine/index.js';

export interface TrainingMetadata {
  /** Version 2: fields with a closed set of values are enums. Version 3: the uid of the run. */
  readonly version: 3;
  /** projects/{project}/runs/{run} */
  readonly run: string;
  /** Which of the runs that have had this name. */
  readonly runUid: string;
  /** JSON form of the resolved dropstream.v1.RunSpec. */
  readonly spec: unknown;
  readonly model: {
    readonly name: string;
    /** Height and width in pixels. */
    readonly imageSize: number;
    readonly classes: number;
    readonly parameters: number;
  };
  /** Class names of the training data in the order of their labels. */
  readonly classNames: readonly string[];
  /** True if the checkpoint has a moving average. */
  readonly ema: boolean;
  /** Paths of the samples that could not be decoded so far. */
  readonly undecodable: readonly string[];
  /** With precision f16: the state of the loss scaling, with which the next step begins. */
  readonly lossScaling?: LossScaling;
}

/** The manifest's metadata is not that of a training checkpoint of this version. */
export class NotATrainingCheckpoint extends Error {
  override readonly name = 'NotATrainingCheckpoint';
  constructor(
    readonly checkpoint: string,
    readonly why: string,
  ) {
    super(`checkpoint ${checkpoint} cannot be used: ${why}`);
  }
}

/** Checks the fields that readers use. @throws NotATrainingCheckpoint */
export function readTrainingMetadata(checkpoint: string, metadata: unknown): TrainingMetadata {
  const refuse = (why: string): never => {
    throw new NotATrainingCheckpoint(checkpoint, why);
  };
  if (typeof metadata !== 'object' || metadata === null) return refuse('its manifest has no metadata');
  const found = metadata as Partial<TrainingMetadata>;
  if (found.version !== 3) return refuse(`its metadata has version ${JSON.stringify(found.version)}, must be 3 for this release`);
  const count = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof found.run !== 'string' || typeof found.runUid !== 'string') return refuse('the name or uid of its run is missing');
  if (typeof found.spec !== 'object' || found.spec === null) return refuse('the run spec is missing');
  const { model } = found;
  if (typeof model?.name !== 'string' || !count(model.imageSize) || !count(model.classes)) return refuse('the model is missing');
  if (!Array.isArray(found.classNames) || !found.classNames.every((name) => typeof name === 'string'))
    return refuse('class names are missing');
  if (typeof found.ema !== 'boolean') return refuse('ema is missing');
  if (!Array.isArray(found.undecodable)) return refuse('the list of undecodable samples is missing');
  const scaling = found.lossScaling;
  const sound = scaling === undefined || (scaling.scale > 0 && count(scaling.steadySteps) && count(scaling.skippedSteps));
  if (!sound) return refuse('the state of its loss scaling is not valid');
  return found as TrainingMetadata;
}

/** A numerics fingerprint in the form that checkpoints store, one line: executor/precision/kernel path/build. */
export function fingerprintLine({ executor, precision, kernelPath, build }: Fingerprint): string {
  return [executor, precision, kernelPath, build].join('/');
}
