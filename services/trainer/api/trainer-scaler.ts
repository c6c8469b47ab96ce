/**
 * The scaler of the trainer. Its own runs tell how many workers and, together with what the data replicas say of themselves, how many data replicas are
 * wanted. The evaluator is asked about its workers, so that this service answers for everything that a trainer needs.
 */
import type { Registry } from 'prom-client';
import type { ProjectQuotas } from '#auth/quota.js';
import type { ConnectOptions } from '#rpc/client.js';
import { askScaler, connectScaler } from '#scaling/ask-scaler.js';
import { Scaler, type WantedOf } from '#scaling/scaler.js';
import { createScalerMetrics } from '#scaling/scaler-metrics.js';
import { dataWanted, workByProject, workersWanted } from '#scaling/wanted.js';
import { DataLoad } from './data-load.js';
import type { QueuedRun } from './run-index.js';
import { isTrained, isWaiting, type Runs } from './runs.js';

export interface TrainerScalerOptions {
  readonly runs: Pick<Runs, 'wanting'>;
  readonly data: readonly string[];
  /** Address; empty: nobody is asked about evaluations. */
  readonly evaluator: string;
  readonly caller: ConnectOptions;
  readonly quotasOf: (project: string) => ProjectQuotas;
  readonly registry: Registry;
  readonly pollMs: number;
  readonly onError: (error: unknown) => void;
}

export interface TrainerScaler {
  readonly scaler: Scaler;
  close(): void;
}

export function trainerScaler({ runs, data, evaluator, caller, quotasOf, registry, pollMs, onError }: TrainerScalerOptions): TrainerScaler {
  const load = new DataLoad(data, caller);
  const client = evaluator === '' ? undefined : connectScaler(evaluator, caller);
  const ofWorkers: WantedOf = async (_, signal) => {
    const work = (await runs.wanting(signal)).map((run) => ({ project: run.project, waits: isWaiting(run), workers: run.workers }));
    return workersWanted(workByProject(work), (project) => quotasOf(project).workers);
  };
  const ofData: WantedOf = async ({ targetPerReplica }, signal) => {
    const [queued, replicas] = await Promise.all([runs.wanting(signal), load.look(signal)]);
    return dataWanted({ runs: queued.length, waitShare: waitShareOf(queued), ...replicas }, targetPerReplica);
  };
  const sources = {
    'trainer-worker': ofWorkers,
    ...(data.length > 0 && { data: ofData }),
    ...(client && { 'evaluator-worker': askScaler(client) }),
  };
  const scaler = new Scaler({
    sources,
    otherwise: 'a trainer answers for trainer-worker, for data if it has --data, and for evaluator-worker if it has --evaluator',
    metrics: createScalerMetrics(registry),
    pollMs,
    onError,
  });
  return {
    scaler,
    close: () => {
      scaler.close();
      load.close();
      client?.close();
    },
  };
}

/** Mean share of their time for which the runs that are trained waited for data lately; 0 if there are none. */
function waitShareOf(runs: readonly QueuedRun[]): number {
  const trained = runs.filter(isTrained);
  return trained.reduce((sum, { dataWaitShare }) => sum + dataWaitShare, 0) / Math.max(1, trained.length);
}
