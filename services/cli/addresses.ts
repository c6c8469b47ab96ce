/** Finds the addresses of the services: from a flag, the environment, the context, or the file that `dropstream up` writes, in this order. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAddress } from '#rpc/address.js';
import { type Context, homeFolder } from './context.js';
import { CommandError, exitCodes } from './exit-codes.js';

export const serviceNames = ['data', 'scheduler', 'trainer', 'evaluator'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** What `dropstream serve` runs: the services, and the gateway to all of them, which no command calls. */
export const servedNames = [...serviceNames, 'gateway'] as const;
export type ServedName = (typeof servedNames)[number];

/** A process of a service that `up` started. */
export interface RunningService {
  /** `trainer`, or `data-2` for a replica. */
  readonly name: string;
  readonly service: ServiceName;
  /** `worker`: it answers no calls. */
  readonly role?: 'worker';
  /** gRPC: host:port. */
  readonly address: string;
  /** /metrics, /livez, /readyz: http://host:port. */
  readonly admin: string;
}

/** The gateway that `up` started. */
export interface RunningGateway {
  /** Of the console and of every RPC over HTTP: http://host:port. */
  readonly url: string;
  /** As that of a service. */
  readonly admin: string;
}

/** Contents of .dropstream/up.json. */
export interface UpState {
  readonly version: 1;
  /** Process id of `dropstream up`. */
  readonly pid: number;
  readonly store: string;
  readonly dataRoots: readonly string[];
  readonly services: readonly RunningService[];
  readonly gateway?: RunningGateway;
}

export const upStatePath = (home: string): string => join(home, 'up.json');

/** The state that `dropstream up` wrote, or undefined if it does not run any more. */
export function readUpState(home: string): UpState | undefined {
  let state: UpState;
  try {
    state = JSON.parse(readFileSync(upStatePath(home), 'utf8')) as UpState;
  } catch {
    return undefined;
  }
  return state.version === 1 && alive(state.pid) ? state : undefined;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export const defaultPorts: Readonly<Record<ServiceName, number>> = { data: 7011, scheduler: 7012, trainer: 7013, evaluator: 7014 };

/**
 * Addresses of all replicas of a service, joined by commas.
 * @throws CommandError (exit code 3) if the address is not known, InvalidArgument if it is not one
 */
export function addressOf(service: ServiceName, flag: string | undefined, context: Context): string {
  const variable = `DROPSTREAM_${service.toUpperCase()}`;
  const given = flag ?? context.env[variable];
  if (given) {
    parseAddress(given, flag === undefined ? variable : `--${service}`, defaultPorts[service]);
    return given;
  }
  const ofContext = context.server?.()?.[service];
  if (ofContext) return ofContext;
  const running = readUpState(homeFolder(context))?.services.filter((s) => s.service === service && s.role !== 'worker') ?? [];
  if (running.length > 0) return running.map((s) => s.address).join(',');
  throw new CommandError(
    `the address of the ${service} service is not known: start all services with \`dropstream up\`, or give --${service} host:port, set ${variable} or choose a context`,
    exitCodes.unavailable,
  );
}

/** URI of the object store: from the flag, DROPSTREAM_STORE, or the running `up`. @throws CommandError (exit code 2) if none of them is set */
export function storeOf(flag: string | undefined, context: Context): string {
  const store = flag ?? context.env.DROPSTREAM_STORE ?? readUpState(homeFolder(context))?.store;
  if (store) return store;
  throw new CommandError(
    'the object store is not known: give --store URI, set DROPSTREAM_STORE, or start `dropstream up`',
    exitCodes.usage,
  );
}
