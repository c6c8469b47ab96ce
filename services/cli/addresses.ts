/** Where the services are: a flag, the environment, or the file that `dropstream up` writes; in this order. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Context, homeFolder } from './context.js';
import { CommandError, exitCodes } from './exit-codes.js';

export const serviceNames = ['data', 'scheduler', 'trainer', 'evaluator'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** A process of a service, as `up` started it. */
export interface RunningService {
  /** `trainer`, or `data-2` for a replica. */
  readonly name: string;
  readonly service: ServiceName;
  /** gRPC: host:port. */
  readonly address: string;
  /** /metrics, /livez, /readyz: http://host:port. */
  readonly admin: string;
}

/** .dropstream/up.json. */
export interface UpState {
  readonly version: 1;
  /** Process id of `dropstream up`. */
  readonly pid: number;
  readonly store: string;
  readonly dataRoots: readonly string[];
  readonly services: readonly RunningService[];
}

export const upStatePath = (home: string): string => join(home, 'up.json');

/** What a living `dropstream up` wrote, or undefined. */
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

/** All replicas of a service, joined by commas. @throws CommandError (3) where nothing says where it is */
export function addressOf(service: ServiceName, flag: string | undefined, context: Context): string {
  const variable = `DROPSTREAM_${service.toUpperCase()}`;
  const given = flag ?? context.env[variable];
  if (given) return given;
  const running = readUpState(homeFolder(context))?.services.filter((s) => s.service === service) ?? [];
  if (running.length > 0) return running.map((s) => s.address).join(',');
  throw new CommandError(
    `no ${service} service: start everything with \`dropstream up\`, or say where it is with --${service} host:port or ${variable}`,
    exitCodes.unavailable,
  );
}

/** The store's URI: flag, DROPSTREAM_STORE, or that of `up`. @throws CommandError (2) */
export function storeOf(flag: string | undefined, context: Context): string {
  const store = flag ?? context.env.DROPSTREAM_STORE ?? readUpState(homeFolder(context))?.store;
  if (store) return store;
  throw new CommandError('no store: give --store URI or DROPSTREAM_STORE, or start `dropstream up`', exitCodes.usage);
}
