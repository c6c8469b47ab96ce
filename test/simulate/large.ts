/** How the design behaves with very many workers: requests of the store per second, from measured requests and the intervals that workers have by default. */
import type { MeasuredRequests } from './measure-requests.js';
import type { World } from './world.js';

export interface LargeFigures {
  readonly workers: number;
  /** Workers without a run, beside those that have one; and runs that wait, if all have one. */
  readonly tenth: number;
  /** Requests per second, of all workers together. What workers ask that have all their slots taken: nothing. */
  readonly looks: number;
  readonly sweeps: number;
  /** If every run takes `runSeconds` and the next one waits already. */
  readonly claims: number;
  readonly owners: number;
  readonly heartbeats: number;
  /** Records of steps: at most one a second for each run. */
  readonly records: number;
  readonly scaler: number;
  /** What looks took in version 0.2, in which every worker read every run in the queue at every look. */
  readonly looksOf02: number;
  /** Requests that list the queue once, and objects of one run's log after a day: what a full listing of it costs. */
  readonly queuePages: number;
  readonly logPagesPerDay: number;
}

const pageSize = 1000;
/** How often KEDA asks about one ScaledJob: GetMetrics and IsActive. */
const kedaSeconds = 5;
/** Short runs, which are claimed often. */
export const runSeconds = 600;
/** Measured on version 0.2.0 as here: requests of a look, without entries and for each. */
const of02 = { fixed: 1, perEntry: 1 };
/** See libs/work/look-pace.ts: looks of all workers together in each poll, and the longest pause in polls. */
const [looksPerPoll, longestPause] = [8, 10];
/** See libs/work/queue-survey.ts: sweeps in a TTL, of few workers and at least. */
const [sweepsPerTtl, leastSweepsPerTtl] = [5, 2];

export function largeFigures(workers: number, measured: MeasuredRequests, { pollSeconds, leaseSeconds }: World): LargeFigures {
  const tenth = workers / 10;
  const entries = workers + tenth;
  const pagesOf = (objects: number): number => Math.max(1, Math.ceil(objects / pageSize));
  const queuePages = pagesOf(entries);
  // Those without a run look at the pace that LookPace finds.
  const pause = Math.min(longestPause, Math.max(1, tenth / looksPerPoll));
  const sweepSeconds = Math.min(leaseSeconds / leastSweepsPerTtl, (leaseSeconds / sweepsPerTtl) * pause);
  const perSweep = measured.sweep.fixed - 1 + pagesOf(workers) + measured.sweep.perEntry * workers;
  // A claim takes the look that finds the run, and the log of the run; the hint is removed.
  const perClaim = measured.waiting.fixed - 2 + pagesOf(tenth) + queuePages + measured.waiting.perEntry + 1;
  const reread = Math.min(entries / Math.max(2, entries * secondsPerEntry), entries / kedaSeconds);
  return {
    workers,
    tenth,
    looks: (tenth * (measured.look.fixed + measured.look.perEntry * workers)) / (pause * pollSeconds),
    sweeps: (tenth * perSweep) / sweepSeconds,
    claims: (workers / runSeconds) * perClaim,
    owners: (workers * measured.ownerPoll) / pollSeconds,
    heartbeats: (workers * measured.signsOfLife) / (leaseSeconds / 3),
    records: workers,
    // What is kept is fresh for as long as its number says (Runs.wanting), so an answer rereads a part of it.
    scaler: (2 * (measured.scaler.fixed - 1 + queuePages)) / kedaSeconds + reread * measured.scaler.perEntry,
    looksOf02: (workers * (of02.fixed - 1 + queuePages + of02.perEntry * entries)) / pollSeconds,
    queuePages,
    logPagesPerDay: Math.ceil(86_400 / pageSize),
  };
}

/** See services/trainer/api/runs.ts: the scaler rereads at most 50 runs a second. */
const secondsPerEntry = 0.02;
