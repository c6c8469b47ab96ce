/** Turns a request into the run to store: checks everything and fills in defaults. Writes nothing. */

import { randomBytes } from 'node:crypto';
import { checkPlanFits, resolvePlan } from '#data/plan/plan.js';
import { FailedPrecondition, InvalidArgument, NotFound, Violations } from '#errors/errors.js';
import { checkId } from '#errors/resource-names.js';
import { parametersOf } from '#graph/trace.js';
import { elements } from '#nn/tensor.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff, DropKind, DropMode } from '#protocol/dropstream/v1/schedule_types.js';
import { type CreatedRecord, type CreateRunRequest, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { CallContext } from '#rpc/handlers.js';
import { checkRequestId, idFromRequest } from '#rpc/request-id.js';
import type { ParsedNames } from '#rpc/request-names.js';
import { dropScheduleOf } from '#spec/drop-schedules.js';
import { readManifest } from '#storage/checkpoint.js';
import { isSha256 } from '#storage/content-hash.js';

import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { activeSpan, recorded } from '#telemetry/tracing.js';
import { checkBatchFits, type DataClient } from '#training/batch-fits.js';
import { Incarnations } from '#work/incarnations.js';
import { findCheckpoint, type NamedCheckpoint } from '#work/named-checkpoints.js';
import type { SchedulerClient } from '../peers.js';
import { evaluationPlan, measurementPlan, specField, trainingPlan } from '../run/batch-plans.js';
import { checkLabels } from '../run/labels.js';
import { modelCatalog, modelOf } from '../run/model-catalog.js';
import { runName } from '../run/run-log.js';
import { dropSegments } from '../run/run-rates.js';
import {
  checkEvaluationData,
  checkLength,
  checkRunSpec,
  type PinnedSchedule,
  type ResolvedSpec,
  requestDigest,
  resolveRunSpec,
} from '../run/run-spec.js';
import type { Datasets, KnownDataset } from './dataset-facts.js';
import type { trainerNames } from './request-names.js';

export interface CreateDeps {
  readonly store: ObjectStore;
  readonly datasets: Datasets;
  /** Without it, runs cannot name schedules. */
  readonly scheduler: SchedulerClient | undefined;
  /** Without it, whether a batch fits into the data service is not known until the run starts. */
  readonly data: DataClient | undefined;
}

export interface NewRun {
  readonly project: string;
  readonly id: string;
  readonly record: CreatedRecord;
  /** The checkpoint whose weights the run starts with. */
  readonly finetune: NamedCheckpoint | undefined;
}

const schedulerTimeoutMs = 10_000;

/**
 * @throws InvalidArgument with every violation; NotFound for a manifest, schedule or checkpoint; FailedPrecondition without a scheduler;
 * errors of the store and the scheduler
 */
export async function prepareRun(
  request: CreateRunRequest,
  { parent: { project } }: ParsedNames<CreateRunRequest, typeof trainerNames.createRun>,
  deps: CreateDeps,
  { signal, identity }: Pick<CallContext, 'signal' | 'identity'>,
): Promise<NewRun> {
  const violations = new Violations();
  if (request.runId !== '') checkId(violations, request.runId, 'run_id');
  checkRequestId(violations, request.requestId);
  checkLabels(violations, request.labels);
  const { spec } = request;
  if (spec === undefined) throw new InvalidArgument(violations.add('spec', undefined, 'given').list);
  checkRunSpec(violations, spec, modelCatalog);

  // Violations that depend on the data set are reported together with the others, if the data set can be read.
  const read = async (manifest: string): Promise<KnownDataset | NotFound | undefined> => {
    if (!isSha256(manifest)) return undefined;
    return await deps.datasets.facts({ project, sha256: manifest }, signal).catch((error) => {
      if (error instanceof NotFound) return error;
      throw error;
    });
  };
  const train = await read(spec.trainManifest);
  const evaluation = await read(spec.evalManifest);
  const length = train && !(train instanceof NotFound) ? checkLength(violations, spec, train) : undefined;
  if (train && evaluation && !(train instanceof NotFound) && !(evaluation instanceof NotFound)) {
    checkEvaluationData(violations, spec, train, evaluation);
  }
  checkPlans(violations, spec, train instanceof NotFound ? undefined : train, evaluation instanceof NotFound ? undefined : evaluation);
  violations.throwIfAny();
  for (const found of [train, evaluation]) if (found instanceof NotFound) throw found;
  if (length === undefined || train === undefined || train instanceof NotFound) throw new Error('unreachable');

  const pinned = spec.schedule === '' ? undefined : await pinSchedule(deps.scheduler, spec.schedule, spec.scheduleRevision, signal);
  const resolved = resolveRunSpec(spec, modelCatalog, train, pinned);
  if (pinned && pinned.spec.kind !== DropKind.DROP_PATH && !modelCatalog.takes(spec.model).dropout) {
    violations.add('spec.schedule', spec.schedule, 'a schedule of drop_path: ConvNeXt has no dropout');
    violations.throwIfAny();
  }
  if (pinned && resolved.dropMode !== DropMode.STANDARD) {
    violations.check(
      resolved.cutoffEpoch <= resolved.epochs,
      'spec.epochs',
      resolved.epochs,
      `at least ${resolved.cutoffEpoch}, the cutoff epoch of ${spec.schedule}`,
    );
    violations.throwIfAny();
  }
  if (deps.data) await checkBatchFits(deps.data, request.parent, trainingPlan(resolved), signal);
  if (deps.data && resolved.cutoff === DropCutoff.ADAPTIVE)
    await checkBatchFits(deps.data, request.parent, measurementPlan(resolved), signal);
  const finetune = spec.finetune === '' ? undefined : await resolveFinetune(deps.store, spec.finetune, signal);

  const id =
    request.runId ||
    (request.requestId === '' ? `run-${randomBytes(8).toString('hex')}` : idFromRequest('run', project, request.requestId));
  const kind = pinned?.spec.kind === DropKind.DROP_PATH ? DropKind.DROP_PATH : dropScheduleOf(resolved).kind;
  const run = Run.fromPartial({
    name: runName(project, id),
    state: RunState.QUEUED,
    spec: { ...resolved, finetune: finetune?.name ?? '' },
    labels: request.labels,
    creator: identity?.principal ?? '',
    totalSteps: BigInt(length.totalSteps),
    stepsPerEpoch: BigInt(length.stepsPerEpoch),
    parameters: BigInt(parameterCount(resolved)),
    dropSegments: dropSegments(resolved, length.stepsPerEpoch),
  });
  const record: CreatedRecord = {
    state: RunState.QUEUED,
    reason: '',
    run,
    trainSamples: BigInt(length.trainSamples),
    specDigest: requestDigest(spec, request.labels),
    requestId: request.requestId,
    ...recorded(activeSpan()),
    classes: [...train.classes],
    dropKind: kind,
  };
  return { project, id, record, finetune };
}

/** Applies the data library's rules for augmentation, mixing and image sizes. A field that was refused before is not reported twice. */
function checkPlans(violations: Violations, spec: RunSpec, train: KnownDataset | undefined, evaluation: KnownDataset | undefined): void {
  const named = new Set(violations.list.map(({ field }) => field));
  if (named.has('spec.model') || named.has('spec.train_manifest') || named.has('spec.eval_manifest')) return;
  const resolved = resolveRunSpec(spec, modelCatalog, train ?? { samples: 1, classes: ['?'] });
  const found = new Violations();
  const plan = found.collect(() => resolvePlan(trainingPlan(resolved)));
  if (plan && train) found.collect(() => checkPlanFits(plan, train));
  if (evaluation && !resolved.disableEval) found.collect(() => checkPlanFits(resolvePlan(evaluationPlan(resolved)), evaluation));
  for (const { field, value, allowed } of found.list) {
    const own = specField(field);
    if (!named.has(own)) violations.add(own, value, allowed);
    named.add(own);
  }
}

async function pinSchedule(
  scheduler: SchedulerClient | undefined,
  name: string,
  revision: bigint,
  signal: AbortSignal,
): Promise<PinnedSchedule> {
  if (scheduler === undefined) throw new FailedPrecondition('schedule', name, 'this trainer was started without --scheduler');
  const { schedule } = await scheduler.getSchedule({ name, revision }, { timeoutMs: schedulerTimeoutMs, signal });
  if (schedule?.spec === undefined) throw new NotFound('schedule', name);
  return { revision: schedule.revision, spec: schedule.spec };
}

/** @throws NotFound */
async function resolveFinetune(store: ObjectStore, name: string, signal: AbortSignal): Promise<NamedCheckpoint> {
  const found = await findCheckpoint(store, new Incarnations(store), name, signal);
  await readManifest(store, found.manifestKey, { signal }).catch((cause) => {
    throw cause instanceof ObjectNotFound ? new NotFound('checkpoint', name, { cause }) : cause;
  });
  return found;
}

function parameterCount(spec: ResolvedSpec): number {
  const parameters = parametersOf(modelOf(spec), { channels: 3, imageSize: spec.inputSize });
  return parameters.reduce((sum, { shape }) => sum + elements(shape), 0);
}
