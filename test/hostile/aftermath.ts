/** Tidies up what hostile requests have changed, so that the store stays small and what later requests name is there. */
import { CreateEvaluationResponse, DeleteEvaluationRequest, EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import {
  CreateScheduleResponse,
  DeleteScheduleRequest,
  SchedulerServiceClient,
  UpdateScheduleRequest,
} from '#protocol/dropstream/v1/scheduler.js';
import { CreateRunRequest, CreateRunResponse, DeleteRunRequest, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { Aborted, AlreadyExists, connect, FailedPrecondition, NotFound } from '#rpc/client.js';
import type { Target } from './target.js';

const soon = { timeoutMs: 30_000 };
/** Revisions after which a schedule is made anew. */
const MOST_REVISIONS = 50;

/** Another request may have been faster: what is wanted is there, or is away, or comes with the next one. */
async function calmly(work: Promise<unknown>): Promise<void> {
  await work.catch((error) => {
    if (![Aborted, AlreadyExists, FailedPrecondition, NotFound].some((type) => error instanceof type)) throw error;
  });
}

export class Aftermath {
  readonly #scheduler;
  readonly #trainer;
  readonly #evaluator;
  #updates = 0;

  constructor(private readonly target: Target) {
    const { open } = target.addresses;
    this.#scheduler = connect(SchedulerServiceClient, open.scheduler);
    this.#trainer = connect(TrainerServiceClient, open.trainer);
    this.#evaluator = connect(EvaluatorServiceClient, open.evaluator);
  }

  /** After a call that was answered. */
  async of(method: string, request: Buffer, answer: Buffer): Promise<void> {
    switch (method.split('/')[1]) {
      case 'CreateRun': {
        const { name = '' } = CreateRunResponse.decode(answer).run ?? {};
        if (CreateRunRequest.decode(request).validateOnly) return;
        await calmly(this.#trainer.cancelRun({ name }, soon));
        return await calmly(this.#trainer.deleteRun({ name }, soon));
      }
      case 'CreateSchedule':
        return await calmly(this.#scheduler.deleteSchedule({ name: CreateScheduleResponse.decode(answer).schedule!.name }, soon));
      case 'CreateEvaluation': {
        const { name } = CreateEvaluationResponse.decode(answer).evaluation!;
        await calmly(this.#evaluator.cancelEvaluation({ name }, soon));
        return await calmly(this.#evaluator.deleteEvaluation({ name }, soon));
      }
      case 'UpdateSchedule': {
        if (++this.#updates % MOST_REVISIONS !== 0) return;
        const { name } = UpdateScheduleRequest.decode(request);
        await calmly(this.#scheduler.deleteSchedule({ name }, soon));
        return await this.#schedule(name);
      }
      case 'DeleteSchedule':
        return await this.#schedule(DeleteScheduleRequest.decode(request).name);
      case 'DeleteRun': {
        const { name } = DeleteRunRequest.decode(request);
        const [parent, runId] = split(name);
        const spec = RunSpec.fromPartial({
          model: 'vit_nano_p7',
          trainManifest: this.target.trainManifest,
          batchSize: 16,
          epochs: 2,
          warmupEpochs: 1,
        });
        await calmly(this.#trainer.createRun({ parent, runId, spec }, soon));
        return await calmly(this.#trainer.cancelRun({ name }, soon));
      }
      case 'DeleteEvaluation': {
        const { name } = DeleteEvaluationRequest.decode(request);
        const [parent, evaluationId] = split(name);
        const spec = { checkpoint: this.target.checkpoint, manifest: this.target.evalManifest };
        if (parent !== 'projects/p') return;
        await calmly(this.#evaluator.createEvaluation({ parent, evaluationId, spec }, soon));
        return await calmly(this.#evaluator.cancelEvaluation({ name }, soon));
      }
    }
  }

  close(): void {
    for (const client of [this.#scheduler, this.#trainer, this.#evaluator]) client.close();
  }

  async #schedule(name: string): Promise<void> {
    const [parent, scheduleId] = split(name);
    const spec = { kind: DropKind.DROP_PATH, rate: 0.1, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT, cutoffEpoch: 0 };
    await calmly(this.#scheduler.createSchedule({ parent, scheduleId, spec }, soon));
  }
}

/** The parent and the id of a name. */
function split(name: string): [string, string] {
  const parts = name.split('/');
  return [parts.slice(0, 2).join('/'), parts[3] ?? ''];
}
