/** Converts the training state (weights, moments, moving average, sums of the epoch, undecodable samples) to and from a checkpoint. */
import type { LossScaling, Program, ProgramState } from '#engine/index.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { LoadedCheckpoint } from '#storage/checkpoint.js';
import type { SnapshotTensors, StagedSnapshot } from '#storage/checkpointer.js';
import type { JsonObject, JsonValue } from '#storage/log-record.js';
import { fingerprintLine, readTrainingMetadata, type TrainingMetadata } from '#training/checkpoint-metadata.js';
import { toCheckpointTensor, toProgramTensors } from '#training/checkpoint-tensors.js';
import type { ResolvedSpec } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';
import { type EpochSums, emptySums } from './epoch-means.js';

/** The training state besides the program's tensors. */
export interface Progress {
  /** Number of optimizer steps done. */
  readonly step: number;
  readonly sums: EpochSums;
  /** Paths of samples that could not be decoded, distinct. */
  readonly undecodable: readonly string[];
  /** With precision f16: the state of the loss scaling. */
  readonly lossScaling?: LossScaling | undefined;
}

const moments = ['first_moment', 'second_moment'] as const;

/** The state of the program between two steps, to be copied into the memory of the checkpoint that is being made. */
export function snapshotOf(program: Program, spec: ResolvedSpec, view: RunView, progress: Progress): StagedSnapshot {
  const { run } = view;
  const ema = spec.modelEma;
  const metadata: TrainingMetadata = {
    version: 3,
    run: run.name,
    runUid: run.uid,
    spec: RunSpec.toJSON(spec),
    model: { name: spec.model, imageSize: spec.inputSize, classes: spec.nbClasses, parameters: Number(run.parameters) },
    classNames: view.classes,
    ema,
    undecodable: progress.undecodable,
    ...(progress.lossScaling && { lossScaling: progress.lossScaling }),
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
    sizeBytes: program.stateBytes({ ema }),
    fill: async (staging) => tensorsOf(await program.exportState({ ema, into: staging })),
  };
}

function tensorsOf(state: ProgramState): SnapshotTensors {
  return {
    weights: state.weights.map(toCheckpointTensor),
    ...(state.ema && { ema: state.ema.map(toCheckpointTensor) }),
    optimizer: moments.flatMap((moment) => state[moment].map((part) => toCheckpointTensor({ ...part, name: `${moment}.${part.name}` }))),
  };
}

/** Loads a checkpoint into the program. @throws NotATrainingCheckpoint; RangeError if it belongs to another model */
export async function restore(program: Program, name: string, { manifest, tensors }: LoadedCheckpoint): Promise<Progress> {
  const { undecodable, lossScaling } = readTrainingMetadata(name, manifest.metadata);
  const optimizer = toProgramTensors(tensors.optimizer ?? []);
  const momentOf = (moment: (typeof moments)[number]) =>
    optimizer.filter((part) => part.name.startsWith(`${moment}.`)).map((part) => ({ ...part, name: part.name.slice(moment.length + 1) }));
  const state: ProgramState = {
    weights: toProgramTensors(tensors.weights ?? []),
    first_moment: momentOf('first_moment'),
    second_moment: momentOf('second_moment'),
    ...(tensors.ema && { ema: toProgramTensors(tensors.ema) }),
  };
  await program.importState(state);
  const sums = (manifest.epochAccumulators as unknown as EpochSums | null) ?? emptySums(Math.floor(manifest.epoch));
  return { step: manifest.step, sums, undecodable, lossScaling };
}
