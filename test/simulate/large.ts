/** How the design behaves with very many workers: requests of the store per second, from measured requests and the intervals that workers have by default. */
import type { MeasuredRequests } from './measure-requests.js';
import type { World } from './world.js';

export interface LargeFigures {
  readonly workers: number;
  /** Runs that wait, beside one for each worker. */
  readonly waiting: number;
  /** Requests per second, of all workers together. */
  readonly looks: number;
  readonly owners: number;
  readonly heartbeats: number;
  /** Records of steps: at most one a second for each run. */
  readonly records: number;
  readonly scaler: number;
  /** Requests that list the queue once, and objects of one run's log after a day: what a full listing of it costs. */
  readonly queuePages: number;
  readonly logPagesPerDay: number;
}

const pageSize = 1000;
/** How often KEDA asks about one ScaledJob: GetMetrics and IsActive. */
const kedaSeconds = 5;

export function largeFigures(
  workers: number,
  waiting: number,
  measured: MeasuredRequests,
  { pollSeconds, leaseSeconds }: World,
): LargeFigures {
  const entries = workers + waiting;
  const queuePages = Math.max(1, Math.ceil(entries / pageSize));
  const perLook = measured.look.fixed - 1 + queuePages + measured.look.perEntry * entries;
  // What is kept is fresh for as long as its number says (Runs.wanting), so an answer rereads a part of it.
  const reread = Math.min(entries / Math.max(2, entries * secondsPerEntry), entries / kedaSeconds);
  return {
    workers,
    waiting,
    looks: (workers * perLook) / pollSeconds,
    owners: (workers * measured.ownerPoll) / pollSeconds,
    heartbeats: workers / (leaseSeconds / 3),
    records: workers,
    scaler: (2 * (measured.scaler.fixed - 1 + queuePages)) / kedaSeconds + reread * measured.scaler.perEntry,
    queuePages,
    logPagesPerDay: Math.ceil(86_400 / pageSize),
  };
}

/** See services/trainer/api/runs.ts: the scaler rereads at most 50 runs a second. */
const secondsPerEntry = 0.02;
