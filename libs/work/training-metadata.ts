/**
 * What a training checkpoint says of itself in its manifest: enough to go on with the training exactly, and enough for an evaluator that
 * never met the trainer. JSON; fields of one version never change their meaning.
 */

export interface TrainingMetadata {
  readonly version: 1;
  /** projects/{project}/runs/{run} */
  readonly run: string;
  /** Optimizer steps done. */
  readonly step: number;
  /** Epoch that the next step belongs to. */
  readonly epoch: number;
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
  /** Numerics fingerprint as one line. */
  readonly fingerprint: string;
  /** Sequence of the newest log record when it was taken. */
  readonly logSequence: number;
  /** Sums over the epoch in progress; see the trainer. */
  readonly epochSums: unknown;
  /** Best evaluation known when it was taken. */
  readonly best?: { readonly checkpoint: string; readonly top1: number; readonly step: number } | undefined;
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
  if (found.version !== 1) return refuse(`its metadata has version ${JSON.stringify(found.version)}, this release reads 1`);
  const count = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof found.run !== 'string' || !count(found.step) || !count(found.epoch)) return refuse('run, step or epoch is missing');
  if (typeof found.spec !== 'object' || found.spec === null) return refuse('the run spec is missing');
  const { model } = found;
  if (typeof model?.name !== 'string' || !count(model.imageSize) || !count(model.classes)) return refuse('the model is missing');
  if (!Array.isArray(found.classNames) || !found.classNames.every((name) => typeof name === 'string'))
    return refuse('class names are missing');
  if (typeof found.ema !== 'boolean' || typeof found.fingerprint !== 'string') return refuse('ema or fingerprint is missing');
  if (!Array.isArray(found.undecodable)) return refuse('the list of undecodable samples is missing');
  return found as TrainingMetadata;
}

/** A numerics fingerprint as one line: executor/precision/kernel path/build. */
export function fingerprintLine(parts: {
  readonly executor: string;
  readonly precision: string;
  readonly kernelPath: string;
  readonly build: string;
}): string {
  return [parts.executor, parts.precision, parts.kernelPath, parts.build].join('/');
}
