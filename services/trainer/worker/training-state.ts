/** The training state as a checkpoint, and back: weights, both moments, moving average, sums of the epoch, undecodable samples. */
import type { NamedTensor, Program, ProgramState } from '#engine/index.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { CheckpointSnapshot, LoadedCheckpoint } from '#storage/checkpoint.js';
import type { JsonObject, JsonValue } from '#storage/record-log.js';
import type { Tensor } from '#storage/tensor.js';
import { fingerprintLine, readTrainingMetadata, type TrainingMetadata } from '#work/training-metadata.js';
import type { ResolvedSpec } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';
import { type EpochSums, emptySums } from './epoch-means.js';

/** What training knows beside the program's tensors. */
export interface Progress {
  /** Optimizer steps done. */
  readonly step: number;
  readonly sums: EpochSums;
  /** Paths of samples that could not be decoded, distinct. */
  readonly undecodable: readonly string[];
}

const moments = ['first_moment', 'second_moment'] as const;

/** A snapshot of the program between two steps; its tensors are copies. */
export async function snapshotOf(program: Program, spec: ResolvedSpec, view: RunView, progress: Progress): Promise<CheckpointSnapshot> {
  const state = await program.exportState({ ema: spec.modelEma });
  const tensor = ({ name, shape, data }: NamedTensor): Tensor => ({ name, dtype: 'F32', shape, data: data as Float32Array<ArrayBuffer> });
  const { run } = view;
  const metadata: TrainingMetadata = {
    version: 1,
    run: run.name,
    spec: RunSpec.toJSON(spec),
    model: { name: spec.model, imageSize: spec.inputSize, classes: spec.nbClasses, parameters: Number(run.parameters) },
    classNames: view.classes,
    ema: spec.modelEma,
    undecodable: progress.undecodable,
  };
  const best = run.bestTop1 === undefined ? null : { checkpoint: run.bestCheckpoint, top1: run.bestTop1, step: view.bestStep };
  return {
    step: progress.step,
    epoch: Math.floor(progress.step / Number(run.stepsPerEpoch)),
    logSequence: Number(run.logSequence),
    fingerprint: fingerprintLine(program.fingerprint),
    epochAccumulators: progress.sums as unknown as JsonValue,
    best,
    metadata: metadata as unknown as JsonObject,
    weights: state.weights.map(tensor),
    ...(state.ema && { ema: state.ema.map(tensor) }),
    optimizer: moments.flatMap((moment) => state[moment].map((part) => tensor({ ...part, name: `${moment}.${part.name}` }))),
  };
}

/** Loads a checkpoint into the program. @throws NotATrainingCheckpoint; RangeError where it is of another model */
export async function restore(program: Program, name: string, { manifest, tensors }: LoadedCheckpoint): Promise<Progress> {
  const { undecodable } = readTrainingMetadata(name, manifest.metadata);
  const named = (group: readonly Tensor[] | undefined): NamedTensor[] => (group ?? []).map(named32);
  const optimizer = named(tensors.optimizer);
  const momentOf = (moment: (typeof moments)[number]): NamedTensor[] =>
    optimizer.filter((part) => part.name.startsWith(`${moment}.`)).map((part) => ({ ...part, name: part.name.slice(moment.length + 1) }));
  const state: ProgramState = {
    weights: named(tensors.weights),
    first_moment: momentOf('first_moment'),
    second_moment: momentOf('second_moment'),
    ...(tensors.ema && { ema: named(tensors.ema) }),
  };
  await program.importState(state);
  const sums = (manifest.epochAccumulators as unknown as EpochSums | null) ?? emptySums(Math.floor(manifest.epoch));
  return { step: manifest.step, sums, undecodable };
}

function named32({ name, dtype, shape, data }: Tensor): NamedTensor {
  if (dtype !== 'F32') throw new RangeError(`tensor ${name} is ${dtype}, must be F32`);
  return { name, shape: [...shape], data: data as Float32Array };
}
