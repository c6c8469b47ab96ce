/** Callers of the shaken system: they repeat every call until it is answered. */
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect } from '#rpc/client.js';
import { connectTrainer } from '../support/training.js';
import type { System } from './system.js';
import { insist } from './watched-run.js';

const CALL_MS = 3000;
const LIMIT_MS = 60_000;

/** Whoever makes them closes them. */
export class Clients {
  readonly trainer;
  readonly scheduler;
  readonly evaluator;

  constructor(
    system: System,
    private readonly signal: AbortSignal,
  ) {
    const apis = system.of('trainer', 'api').map(({ address }) => address);
    this.trainer = connectTrainer(apis.join(','));
    this.scheduler = connect(SchedulerServiceClient, system.of('scheduler')[0]!.address);
    this.evaluator = connect(EvaluatorServiceClient, system.of('evaluator', 'all')[0]!.address);
  }

  /** At most a minute. `settled`: errors that show that an earlier try was carried out and only its answer was lost; then there is no answer. */
  readonly call = async <T>(call: (signal: AbortSignal) => Promise<T>, settled?: (error: unknown) => boolean): Promise<T | undefined> => {
    const limit = AbortSignal.any([this.signal, AbortSignal.timeout(LIMIT_MS)]);
    return await insist(() => call(AbortSignal.any([limit, AbortSignal.timeout(CALL_MS)])), limit, settled);
  };

  close(): void {
    for (const client of [this.trainer, this.scheduler, this.evaluator]) client.close();
  }
}
