/** Whether the services answer, how fast, and what is in their queues. */
import { call } from '../api/call.js';

export interface ServiceHealth {
  readonly name: string;
  readonly does: string;
  readonly state: 'serving' | 'not serving' | 'no answer' | 'not offered';
  readonly why: string;
  /** Time of the answer; undefined without one. */
  readonly ms: number | undefined;
  /** Of the replica that answered; '' if it did not say. */
  readonly version: string;
}

const services = [
  { name: 'trainer', full: 'dropstream.v1.TrainerService', does: 'creates, shows and trains runs' },
  { name: 'evaluator', full: 'dropstream.v1.EvaluatorService', does: 'scores checkpoints' },
  { name: 'scheduler', full: 'dropstream.v1.SchedulerService', does: 'stores drop schedules' },
  { name: 'data', full: 'dropstream.v1.DataService', does: 'decodes and augments images' },
] as const;

const TIMEOUT_MS = 4000;

export const readHealth = (signal: AbortSignal): Promise<ServiceHealth[]> => Promise.all(services.map((service) => check(service, signal)));

async function check({ name, full, does }: (typeof services)[number], signal: AbortSignal): Promise<ServiceHealth> {
  const begun = performance.now();
  try {
    let version = '';
    const onHeaders = (headers: Headers) => {
      version = headers.get('dropstream-version') ?? '';
    };
    const { status } = await call('grpc.health.v1.Health/Check', { service: full }, { signal, timeoutMs: TIMEOUT_MS, onHeaders });
    return { name, does, state: status === 'SERVING' ? 'serving' : 'not serving', why: '', ms: performance.now() - begun, version };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    const offered = code !== 'unimplemented' && code !== 'not_found';
    return { name, does, state: offered ? 'no answer' : 'not offered', why: message, ms: undefined, version: '' };
  }
}

export interface Wish {
  readonly part: string;
  readonly title: string;
  readonly replicas: number | undefined;
  /** Why they are not known. */
  readonly why: string;
}

const parts = [
  { part: 'trainer-worker', title: 'trainer workers', metric: 'dropstream-trainer-workers' },
  { part: 'evaluator-worker', title: 'evaluator workers', metric: 'dropstream-evaluator-workers' },
  { part: 'data', title: 'data replicas', metric: 'dropstream-data-replicas' },
] as const;

/** How many replicas the work wants; undefined where the trainer cannot say. */
export const readWishes = (signal: AbortSignal): Promise<Wish[]> =>
  Promise.all(
    parts.map(async ({ part, title, metric }) => {
      try {
        const request = { scaledObjectRef: { name: '', namespace: '', scalerMetadata: { part } }, metricName: metric };
        const { metricValues = [] } = await call('externalscaler.ExternalScaler/GetMetrics', request, { signal, timeoutMs: TIMEOUT_MS });
        return { part, title, replicas: metricValues[0]?.metricValueFloat ?? 0, why: '' };
      } catch (error) {
        return { part, title, replicas: undefined, why: (error as Error).message };
      }
    }),
  );
