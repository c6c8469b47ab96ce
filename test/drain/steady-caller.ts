/** A caller that makes one call after the other, of every service, and wants each answered within its deadline. */
import { setTimeout as delay } from 'node:timers/promises';
import { DataServiceClient } from '#protocol/dropstream/v1/data.js';
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ClientClass, connect } from '#rpc/client.js';
import type { ServiceName } from '../support/processes.js';

const CALL_MS = 10_000;
const PAUSE_MS = 10;
const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 2 };
/** UNAVAILABLE is answered by another try, as long as there is time. */
const retry = { attempts: 1000, initialMs: 20, maxMs: 500 };

export interface CallsReport {
  /** Answered calls by method. */
  readonly answered: Readonly<Record<string, number>>;
  readonly failed: readonly string[];
}

/** Calls until `signal` aborts. `manifest` and `run` are there. */
export async function callSteadily(
  address: (service: ServiceName) => string,
  { parent, run, manifest }: { readonly parent: string; readonly run: string; readonly manifest: string },
  signal: AbortSignal,
): Promise<CallsReport> {
  const dial = <D extends object>(type: ClientClass<D>, service: ServiceName) => connect(type, address(service), { retry });
  const data = dial(DataServiceClient, 'data');
  const scheduler = dial(SchedulerServiceClient, 'scheduler');
  const trainer = dial(TrainerServiceClient, 'trainer');
  const evaluator = dial(EvaluatorServiceClient, 'evaluator');
  const t = { timeoutMs: CALL_MS };
  let made = 0;
  const calls: Record<string, () => Promise<unknown>> = {
    DescribeDataset: () => data.describeDataset({ dataset: { manifest }, parent }, t),
    ListSchedules: () => scheduler.listSchedules({ parent }, t),
    CreateSchedule: () => {
      made++;
      return scheduler.createSchedule({ parent, scheduleId: `s-${made}`, requestId: `r-${made}`, spec }, t);
    },
    GetRun: () => trainer.getRun({ name: run }, t),
    ListRuns: () => trainer.listRuns({ parent }, t),
    ListEvaluations: () => evaluator.listEvaluations({ parent }, t),
  };
  const answered: Record<string, number> = {};
  const failed: string[] = [];
  try {
    await Promise.all(
      Object.entries(calls).map(async ([name, call]) => {
        answered[name] = 0;
        while (!signal.aborted) {
          await call().then(
            () => answered[name]!++,
            (error) => failed.push(`${name}: ${error}`),
          );
          await delay(PAUSE_MS);
        }
      }),
    );
  } finally {
    for (const client of [data, scheduler, trainer, evaluator]) client.close();
  }
  return { answered, failed };
}
