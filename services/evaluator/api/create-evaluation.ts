/** Turns a request into the evaluation to store: checks it and fills in defaults from the checkpoint. Writes nothing. */
import { createHash, randomBytes } from 'node:crypto';
import { classDifference } from '#data/manifest/class-difference.js';
import { loadManifest } from '#data/manifest/manifest-store.js';
import { subsetSize } from '#data/plan/order.js';
import { executorAsked, lacks } from '#engine/engines.js';
import { FailedPrecondition, InvalidArgument, NotFound, Violations } from '#errors/errors.js';
import { checkId } from '#errors/resource-names.js';
import type { Plan } from '#protocol/dropstream/v1/data.js';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import { type CreateEvaluationRequest, Evaluation, EvaluationSpec, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { CallContext } from '#rpc/handlers.js';
import { checkRequestId, idFromRequest } from '#rpc/request-id.js';
import { maxEvaluationBatch } from '#spec/limits.js';
import { engines, precisions } from '#spec/words.js';
import { readManifest } from '#storage/checkpoint.js';
import { isSha256, sha256Rule } from '#storage/content-hash.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { checkBatchFits, type DataClient, neverFits } from '#training/batch-fits.js';
import { readTrainingMetadata, type TrainingMetadata } from '#training/checkpoint-metadata.js';
import { Incarnations } from '#work/incarnations.js';
import { findCheckpoint } from '#work/named-checkpoints.js';
import { evaluationName } from '../evaluation/evaluation-log.js';
import { evaluationPlan } from '../evaluation/evaluation-plan.js';
import { gradientPrecision, gradientSamples, gradientSpecOf, subsetOf } from './gradient-spec.js';

export interface NewEvaluation {
  readonly project: string;
  readonly id: string;
  readonly evaluation: Evaluation;
  /** Digest of the spec in the request. */
  readonly specDigest: string;
  /** Empty if the request had none. */
  readonly requestId: string;
  /** Uid of the checkpoint's run. */
  readonly runUid: string;
}

export interface CreateDeps {
  readonly store: ObjectStore;
  /** Without it, whether a batch fits into the data service is not known until the evaluation starts. */
  readonly data: DataClient | undefined;
}

/** @throws InvalidArgument with every violation; NotFound for the checkpoint or the manifest */
export async function prepareEvaluation(
  request: CreateEvaluationRequest,
  project: string,
  { store, data }: CreateDeps,
  { signal, identity }: Pick<CallContext, 'signal' | 'identity'>,
): Promise<NewEvaluation> {
  const violations = new Violations();
  if (request.evaluationId !== '') checkId(violations, request.evaluationId, 'evaluation_id');
  checkRequestId(violations, request.requestId);
  const { spec } = request;
  if (spec === undefined) throw new InvalidArgument(violations.add('spec', undefined, 'given').list);
  checkSpec(violations, spec);
  violations.throwIfAny();

  const { name: checkpoint, runUid, manifestKey } = await findCheckpoint(store, new Incarnations(store), spec.checkpoint, signal);
  const metadata = await readCheckpoint(store, checkpoint, manifestKey, signal);
  const run = RunSpec.fromJSON(metadata.spec);
  const gradients = spec.gradientStatistics && gradientSpecOf(violations, spec.gradientStatistics, run);
  const manifest = spec.manifest || (gradients ? run.trainManifest : run.evalManifest);
  if (manifest === '')
    throw new InvalidArgument(violations.add('spec.manifest', '', 'given, because the run of this checkpoint has no eval_manifest').list);
  // UNSPECIFIED, which is 0, means the same as absent.
  const engine = engines.wordOf(spec.engine || run.engine);
  const ofRun = precisions.wordOf(gradients ? gradientPrecision(run) : run.precision);
  const lacking = (precision: typeof ofRun) => lacks(executorAsked(engine), { precision, checkpointBlocks: false });
  const precision = spec.precision ? precisions.wordOf(spec.precision) : lacking(ofRun).length === 0 ? ofRun : precisions.fallback;
  for (const { field, value, allowed } of lacking(precision)) violations.add(`spec.${field}`, value, `${allowed} on engine ${engine}`);
  violations.throwIfAny();
  const trained = Math.min(maxEvaluationBatch, run.batchSize ?? 64);
  const preferred = Math.min(maxEvaluationBatch, Math.max(1, Math.floor(1.5 * trained)));
  const resolved: EvaluationSpec = {
    checkpoint,
    manifest,
    batchSize: spec.batchSize ?? (gradients ? trained : preferred),
    ema: gradients === undefined && (spec.ema ?? run.modelEmaEval ?? false) && metadata.ema,
    cropPct: spec.cropPct ?? run.cropPct,
    engine: engines.fromWord(engine),
    precision: precisions.fromWord(precision),
    ...subsetOf(spec, run),
    gradientStatistics: gradients,
  };
  const samples = await checkData(store, project, resolved, metadata, signal);
  const samplesTotal = gradients ? gradientSamples(resolved, samples) : samples;
  if (data) {
    const planOf = (batchSize: number): Plan => evaluationPlan({ ...resolved, batchSize }, run, metadata.model.imageSize);
    // A mini-batch is part of what gradients are measured of, so no other takes its place.
    const isDefault = spec.batchSize === undefined && gradients === undefined;
    // The default is for speed. If so many images can never fit, a batch of the training may, because it did.
    const isTooLarge = isDefault && (await neverFits(data, request.parent, planOf(preferred), signal)) !== undefined;
    if (isTooLarge) resolved.batchSize = trained;
    if (isTooLarge || !isDefault) await checkBatchFits(data, request.parent, planOf(resolved.batchSize as number), signal);
  }
  const id =
    request.evaluationId ||
    (request.requestId === '' ? `eval-${randomBytes(8).toString('hex')}` : idFromRequest('eval', project, request.requestId));
  const evaluation = Evaluation.fromPartial({
    name: evaluationName(project, id),
    state: EvaluationState.PENDING,
    spec: resolved,
    samplesTotal: BigInt(samplesTotal),
    creator: identity?.principal ?? '',
  });
  const specDigest = createHash('sha256').update(EvaluationSpec.encode(spec).finish()).digest('hex');
  return { project, id, evaluation, specDigest, requestId: request.requestId, runUid };
}

function checkSpec(violations: Violations, spec: EvaluationSpec): void {
  violations.check(
    spec.manifest === '' || isSha256(spec.manifest),
    'spec.manifest',
    spec.manifest,
    `empty or the SHA-256 of a manifest: ${sha256Rule}`,
  );
  const { batchSize, cropPct, engine, precision, subsetStride = 0, subsetOffset = 0 } = spec;
  violations.check(
    batchSize === undefined || (batchSize >= 1 && batchSize <= maxEvaluationBatch),
    'spec.batch_size',
    batchSize,
    `from 1 to ${maxEvaluationBatch}`,
  );
  violations.check(cropPct === undefined || (cropPct >= 0.05 && cropPct <= 1), 'spec.crop_pct', cropPct, 'from 0.05 to 1');
  engines.read(violations, 'spec.engine', engine);
  precisions.read(violations, 'spec.precision', precision);
  violations.check(
    spec.gradientStatistics === undefined || spec.ema !== true,
    'spec.ema',
    spec.ema,
    'false with gradient_statistics, which are those of the weights',
  );
  violations.check(
    spec.gradientStatistics === undefined || precision !== Precision.F16,
    'spec.precision',
    'f16',
    'fp32 or bf16 with gradient_statistics, whose losses are not scaled as those of a training',
  );
  violations.check(
    spec.subsetInvert !== true || subsetStride > 1,
    'spec.subset_invert',
    spec.subsetInvert,
    'false unless subset_stride is above 1, because no sample would be left, or nothing is excluded',
  );
  violations.check(
    subsetOffset < Math.max(1, subsetStride),
    'spec.subset_offset',
    subsetOffset,
    subsetStride === 0 ? '0 if subset_stride is 0' : `below ${subsetStride} (subset_stride)`,
  );
}

/** @throws NotFound; FailedPrecondition if it is not a checkpoint of a training; CheckpointDamaged */
async function readCheckpoint(store: ObjectStore, name: string, manifestKey: string, signal: AbortSignal): Promise<TrainingMetadata> {
  const { manifest } = await readManifest(store, manifestKey, { signal }).catch((cause) => {
    throw cause instanceof ObjectNotFound ? new NotFound('checkpoint', name, { cause }) : cause;
  });
  try {
    return readTrainingMetadata(name, manifest.metadata);
  } catch (cause) {
    throw new FailedPrecondition('checkpoint', name, (cause as Error).message, { cause });
  }
}

/** Number of samples that will be evaluated. @throws NotFound; InvalidArgument for other classes or an empty subset */
async function checkData(
  store: ObjectStore,
  project: string,
  spec: EvaluationSpec,
  { classNames }: TrainingMetadata,
  signal: AbortSignal,
): Promise<number> {
  const manifest = await loadManifest(store, { project, sha256: spec.manifest }, signal);
  const violations = new Violations();
  const difference = classDifference(manifest.classes, classNames);
  const rule = 'a data set with the classes of the checkpoint in the same order';
  violations.check(difference === undefined, 'spec.manifest', spec.manifest, `${rule}; it ${difference}`);
  const samples = subsetSize(manifest.samples, {
    stride: spec.subsetStride ?? 0,
    offset: spec.subsetOffset ?? 0,
    invert: spec.subsetInvert ?? false,
  });
  violations.check(
    samples > 0,
    'spec.subset_offset',
    spec.subsetOffset,
    `below ${manifest.samples}, the number of samples in the data set`,
  );
  const { batchSize = 0, gradientStatistics } = spec;
  violations.check(
    gradientStatistics === undefined || batchSize <= samples,
    'spec.batch_size',
    batchSize,
    `at most ${samples}, the number of samples, because each mini-batch is full`,
  );
  violations.throwIfAny();
  return samples;
}
