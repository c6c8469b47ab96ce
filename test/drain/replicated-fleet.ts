/** Two replicas of every api, two workers that train and one that evaluates, as processes over one store; and their restart, one half after the other. */

import { FleetProcess } from '../chaos/fleet.js';
import type { ServiceName } from '../support/processes.js';

export interface FleetPlace {
  readonly store: string;
  readonly dataRoot: string;
  readonly logs: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const DRAIN_DELAY_MS = 500;

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
    const { store, logs, env } = this.place;
    const common = ['--store', store, '--drain-delay-ms', String(DRAIN_DELAY_MS), '--drain-ms', '5000'];
    const one = new FleetProcess({ name, service, argv: [...common, ...argv], env, logs });
    this.#processes.push(one);
    await one.start();
  }
}
