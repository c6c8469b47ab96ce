/** Who decides how many workers there are: KEDA with the shipped scaler, a fixed number, and an autoscaler that follows the CPU. */
import { workersWanted } from '#scaling/wanted.js';
import type { Fleet, Simulation, Worker } from './simulation.js';

/** How often KEDA asks, and what the chart starts workers with. */
const [kedaSeconds, idleSeconds] = [5, 30];

/** A ScaledJob: starts what is wanted and not there yet, and ends nothing. @param onAnswer called with every answer of the scaler */
export function kedaFleet(onAnswer: (wanted: number, cluster: Simulation) => void = () => {}): Fleet {
  return {
    name: 'KEDA with the scaler',
    idleSeconds,
    begin: (cluster) =>
      cluster.every(kedaSeconds, () => {
        const wanted = workersWanted(cluster.counts.values());
        onAnswer(wanted, cluster);
        cluster.startWorkers(Math.max(0, Math.min(wanted, cluster.world.maxWorkers) - cluster.workers.size));
      }),
  };
}

/** A Deployment without autoscaling. */
export function fixedFleet(workers: number): Fleet {
  return {
    name: `fixed, ${workers} workers`,
    idleSeconds: undefined,
    begin: (cluster) => cluster.every(kedaSeconds, () => cluster.startWorkers(Math.max(0, workers - cluster.workers.size))),
  };
}

/** Of the HorizontalPodAutoscaler and its defaults (kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale). */
const hpa = { syncSeconds: 15, target: 0.8, tolerance: 0.1, stabilisationSeconds: 300, pods: 4, factor: 2 };
/** Share of its CPU request that a worker without work uses. */
const idleCpu = 0.02;

/**
 * A Deployment with a HorizontalPodAutoscaler on CPU utilisation: ceil(current × utilisation / target), nothing within the tolerance, pods that are not
 * ready taken for idle when it grows and for on target when it shrinks, the highest recommendation of 5 minutes before it shrinks, and at most twice as
 * many or 4 more pods in a round. It cannot know who works: the youngest pods go.
 */
export function hpaFleet(min = 1): Fleet {
  const recommendations: { readonly at: number; readonly pods: number }[] = [];
  let pods = min;
  return {
    name: 'HPA on CPU',
    idleSeconds: undefined,
    begin: (cluster) =>
      cluster.every(hpa.syncSeconds, () => {
        const { now } = cluster.events;
        const workers = [...cluster.workers].filter(({ state }) => state !== 'releasing');
        recommendations.push({ at: now, pods: Math.max(min, Math.min(cluster.world.maxWorkers, desired(workers, pods))) });
        while (recommendations[0]!.at <= now - hpa.stabilisationSeconds) recommendations.shift();
        const latest = recommendations.at(-1)!.pods;
        const highest = Math.max(...recommendations.map((one) => one.pods));
        if (latest > pods) pods = Math.min(latest, Math.max(pods * hpa.factor, pods + hpa.pods));
        else if (highest < pods) pods = highest;
        if (workers.length < pods) cluster.startWorkers(pods - workers.length);
        else for (const worker of workers.slice(pods)) cluster.stopByScaling(worker);
      }),
  };
}

function desired(workers: readonly Worker[], pods: number): number {
  const ready = workers.filter(({ state }) => state === 'idle' || state === 'busy');
  if (ready.length === 0) return pods;
  const used = ready.reduce((sum, { state }) => sum + (state === 'busy' ? 1 : idleCpu), 0);
  const ratio = used / ready.length / hpa.target;
  if (Math.abs(ratio - 1) <= hpa.tolerance) return pods;
  const unready = workers.length - ready.length;
  if (unready === 0) return Math.ceil(ready.length * ratio);
  const assumed = (used + (ratio < 1 ? unready * hpa.target : 0)) / workers.length / hpa.target;
  if (Math.abs(assumed - 1) <= hpa.tolerance || assumed < 1 !== ratio < 1) return pods;
  return Math.ceil(workers.length * assumed);
}

/** Workers that the busiest hour keeps busy: what a fixed fleet must have if nothing is to wait for long. */
export function peakWorkers(trace: Simulation['runs'] | readonly { readonly at: number; readonly seconds: number }[]): number {
  const hours = new Map<number, number>();
  for (const { at, seconds } of trace) hours.set(Math.floor(at / 3600), (hours.get(Math.floor(at / 3600)) ?? 0) + seconds);
  return Math.max(1, Math.ceil(Math.max(...hours.values()) / 3600));
}
