/** Two replicas of every api, two workers that train and one that evaluates, as processes over one store; and their restart, one half after the other. */

import { entry, FleetProcess } from '../chaos/fleet.js';
import type { ServiceName } from '../support/processes.js';

export interface FleetPlace {
  readonly store: string;
  readonly dataRoot: string;
  readonly logs: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The program of an earlier version, which the fleet begins with; default: this version. */
  readonly earlier?: string | undefined;
}

const DRAIN = ['--drain-ms', '5000'];
/** Version 0.2 does not have it. */
const DRAIN_DELAY = ['--drain-delay-ms', '500'];
/** Whoever is called comes before those that call; workers come before the api that writes what they must be able to read (docs/deploying.md). */
const UPGRADE_ORDER = ['data-api', 'scheduler-api', 'evaluator-api', 'evaluator-worker', 'trainer-worker', 'trainer-api'];

export class ReplicatedFleet {
  readonly #processes: FleetProcess[] = [];

  private constructor(private readonly place: FleetPlace) {}

  static async start(place: FleetPlace): Promise<ReplicatedFleet> {
    const fleet = new ReplicatedFleet(place);
    const pair = (service: ServiceName, argv: string[]) => Promise.all([1, 2].map((k) => fleet.#add(`${service}-api-${k}`, service, argv)));
    try {
      await Promise.all([
        pair('data', ['--root', place.dataRoot, '--threads', '1']),
        pair('scheduler', []),
        pair('evaluator', ['--role', 'api']),
      ]);
      const data = ['--data', fleet.#all('data').join(',')];
      const peers = ['--scheduler', fleet.address('scheduler'), '--evaluator', fleet.address('evaluator')];
      const quick = ['--role', 'worker', '--poll-ms', '200', ...data];
      await Promise.all([
        pair('trainer', ['--role', 'api', ...data, ...peers]),
        ...[1, 2].map((k) => fleet.#add(`trainer-worker-${k}`, 'trainer', [...quick, ...peers])),
        fleet.#add('evaluator-worker-1', 'evaluator', quick),
      ]);
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  /** Of both replicas of an api. */
  address(service: ServiceName): string {
    return this.#all(service).join(',');
  }

  /** Every process once: the first replicas of all services together, and then the second ones. */
  async restart(): Promise<void> {
    for (const k of [1, 2]) {
      const half = this.#processes.filter(({ name }) => name.endsWith(`-${k}`));
      await Promise.all(
        half.map(async (one) => {
          await one.stop();
          await one.start();
        }),
      );
    }
  }

  /** Replaces every process of the earlier version by one of this version, one after the other. */
  async upgrade(): Promise<void> {
    for (const kind of UPGRADE_ORDER)
      for (const one of this.#processes.filter(({ name }) => name.startsWith(kind)))
        await one.replace({ entry, argv: [...one.options.argv, ...DRAIN_DELAY] });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop()));
  }

  /** How often processes were started, and how those ended that did not end in order. */
  get facts(): { readonly starts: number; readonly crashes: readonly string[] } {
    return {
      starts: this.#processes.reduce((sum, { wakes }) => sum + wakes, 0),
      crashes: this.#processes.flatMap(({ crashes }) => crashes),
    };
  }

  #all(service: ServiceName): string[] {
    return this.#processes.filter(({ name }) => name.startsWith(`${service}-api`)).map(({ address }) => address);
  }

  async #add(name: string, service: ServiceName, argv: string[]): Promise<void> {
    const { store, logs, env, earlier } = this.place;
    const common = ['--store', store, ...DRAIN, ...(earlier === undefined ? DRAIN_DELAY : [])];
    const one = new FleetProcess({
      name,
      service,
      argv: [...common, ...argv],
      env,
      logs,
      ...(earlier !== undefined && { entry: earlier }),
    });
    this.#processes.push(one);
    await one.start();
  }
}
