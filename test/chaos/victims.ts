/** Finds whom a fault hits: workers that train, and what runs or processes there are to be found within some time. */
import { setTimeout as delay } from 'node:timers/promises';
import type { FleetProcess } from './fleet.js';
import type { Lanes } from './lanes.js';
import type { System } from './system.js';
import type { WatchedRun } from './watched-run.js';

export class Victims {
  constructor(
    private readonly system: System,
    private readonly lanes: Lanes,
    private readonly signal: AbortSignal,
  ) {}

  /** The run that this worker trains. */
  runOf(worker: FleetProcess): WatchedRun | undefined {
    return this.lanes.runs.find((run) => run.training && !run.ended && run.owner.split(':').includes(String(worker.pid)));
  }

  workerOf({ owner }: WatchedRun): FleetProcess | undefined {
    return this.system.of('trainer', 'worker').find(({ pid }) => owner.split(':').includes(String(pid)));
  }

  /** A worker that trains, if there is one; otherwise any that works. */
  busyWorker(target: number): FleetProcess | undefined {
    const workers = this.system.of('trainer', 'worker').filter(({ works }) => works);
    const busy = workers.filter((worker) => this.runOf(worker) !== undefined);
    return pick(busy.length > 0 ? busy : workers, target);
  }

  /** The way of one of the processes to the store. */
  storeProxy(target: number): string {
    return `s3-${pick(this.system.processes, target)!.name}`;
  }

  /** What `look` finds within `limitMs`. */
  readonly find = async <T>(limitMs: number, look: () => T | undefined | Promise<T | undefined>): Promise<T | undefined> => {
    for (const end = performance.now() + limitMs; performance.now() < end; await delay(20)) {
      this.signal.throwIfAborted();
      const found = await look();
      if (found !== undefined) return found;
    }
    return undefined;
  };
}

export const pick = <T>(from: readonly T[], share: number): T | undefined =>
  from[Math.min(from.length - 1, Math.floor(share * from.length))];
