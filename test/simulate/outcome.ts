/** What a simulated day came to, in numbers. */
import type { Simulation } from './simulation.js';

export interface Outcome {
  readonly fleet: string;
  /** Seconds from the creation of a run to its first claim. */
  readonly queueing: { readonly mean: number; readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number };
  /** Share of the slots that were paid for in which a step was computed. */
  readonly utilisation: number;
  /** Hours of work that were computed twice, and as a share of all work. */
  readonly lostHours: number;
  readonly lostShare: number;
  readonly cost: number;
  readonly mostWorkers: number;
  readonly evictions: number;
  readonly spotLosses: number;
  readonly stoppedByScaling: number;
  readonly stoppedWhileBusy: number;
  readonly attempts: number;
  readonly unfinished: number;
  /** Seconds from the beginning of the day to the end of the last run. */
  readonly makespan: number;
}

export function outcomeOf({ runs, work, times, nodes, stops, samples, fleet, events }: Simulation): Outcome {
  const waits = runs
    .map(({ at, firstClaimAt }) => firstClaimAt - at)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const quantile = (share: number): number => waits[Math.min(waits.length - 1, Math.floor(share * waits.length))] ?? Number.NaN;
  return {
    fleet: fleet.name,
    queueing: {
      mean: waits.reduce((sum, wait) => sum + wait, 0) / Math.max(1, waits.length),
      ...{ p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99), max: quantile(1) },
    },
    utilisation: times.busy / nodes.slotSeconds,
    lostHours: work.lost / 3600,
    lostShare: work.lost / work.done,
    cost: nodes.cost,
    mostWorkers: Math.max(...samples.map(({ workers }) => workers)),
    evictions: stops.evictions,
    spotLosses: stops.lost,
    stoppedByScaling: stops.byScaling,
    stoppedWhileBusy: stops.busyByScaling,
    attempts: runs.reduce((sum, run) => sum + run.attempts, 0),
    unfinished: runs.filter(({ state }) => state !== 'over').length,
    makespan: events.now,
  };
}
