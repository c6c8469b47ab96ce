/**
 * What a training checkpoint says of itself in its manifest, beside step, sums and fingerprint: enough for an evaluator that never met the
 * trainer. It is JSON; fields of one version never change their meaning.
 */
import type { Fingerprint } from '#engine/index.js';

export interface TrainingMetadata {
  /** 2: the spec's closed sets of values are enums. */
  readonly version: 2;
  /** projects/{project}/runs/{run} */
  readonly run: string;
  /** JSON form of the resolved dropstream.v1.RunSpec. */
  readonly spec: unknown;
  readonly model: {
    readonly name: string;
    /** Height and width in pixels. */
    readonly imageSize: number;
    readonly classes: number;
    readonly parameters: number;
  };
  /** Class names of the training data, in order of labels. */
  readonly classNames: readonly string[];
  /** True where the checkpoint has a moving average. */
  readonly ema: boolean;
  /** Paths of samples that could not be decoded so far. */
  readonly undecodable: readonly string[];
}

/** A manifest whose metadata is not a training's of this version. */
export class NotATrainingCheckpoint extends Error {
  override readonly name = 'NotATrainingCheckpoint';
  constructor(
    readonly checkpoint: string,
    readonly why: string,
  ) {
    super(`checkpoint ${checkpoint} cannot be used: ${why}`);
  }
}

/** Checks what a reader relies on. @throws NotATrainingCheckpoint */
export function readTrainingMetadata(checkpoint: string, metadata: unknown): TrainingMetadata {
  const refuse = (why: string): never => {
    throw new NotATrainingCheckpoint(checkpoint, why);
  };
  if (typeof metadata !== 'object' || metadata === null) return refuse('its manifest has no metadata');
  const found = metadata as Partial<TrainingMetadata>;
  if (found.version !== 2) return refuse(`its metadata has version ${JSON.stringify(found.version)}, this release reads 2`);
  const count = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof found.run !== 'string') return refuse('the name of its run is missing');
  if (typeof found.spec !== 'object' || found.spec === null) return refuse('the run spec is missing');
  const { model } = found;
  if (typeof model?.name !== 'string' || !count(model.imageSize) || !count(model.classes)) return refuse('the model is missing');
  if (!Array.isArray(found.classNames) || !found.classNames.every((name) => typeof name === 'string'))
    return refuse('class names are missing');
  if (typeof found.ema !== 'boolean') return refuse('ema is missing');
  if (!Array.isArray(found.undecodable)) return refuse('the list of undecodable samples is missing');
  return found as TrainingMetadata;
}

/** A numerics fingerprint as checkpoints keep it, in one line: executor/precision/kernel path/build. */
export function fingerprintLine({ executor, precision, kernelPath, build }: Fingerprint): string {
  return [executor, precision, kernelPath, build].join('/');
}
