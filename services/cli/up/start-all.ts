/** Runs all services on one machine: starts them in order, restarts them, writes their addresses to up.json and for Prometheus, and stops workers first. */
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { type RunningService, readUpState, type ServedName, type UpState, upStatePath } from '../addresses.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { makePrivateFolder } from '../private-folder.js';
import { commandLineEntry } from '../service-entry.js';
import { LogFile } from './log-file.js';
import { forgetPrometheusTargets, writePrometheusFiles } from './prometheus-files.js';
import { replaceFile } from './replace-file.js';
import { claimingServices, serviceArguments, startOrder, stopOrder } from './service-arguments.js';
import { type ChildEvent, type Ports, SupervisedChild } from './supervised-child.js';

export interface StartAllOptions {
  /** Folder of up.json, the logs and the files for Prometheus. */
  readonly home: string;
  readonly store: string;
  /** Folders that the data service may read. */
  readonly dataRoots: readonly string[];
  /** Number of data replicas; default 1. */
  readonly dataReplicas?: number;
  /** Number of trainer processes that train; default 1, which also answers calls. */
  readonly workers?: number;
  /** gRPC port of each service; default 0, any free port. The admin port is 1000 higher. Each further replica has the next port. */
  readonly ports?: Readonly<Partial<Record<ServedName, number>>> | undefined;
  /** Whether the gateway starts, too; default false. */
  readonly gateway?: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Log level of the services; default info. */
  readonly logLevel?: string;
  /** Milliseconds that a service has to finish after SIGTERM; default 25,000. */
  readonly drainMs?: number;
  readonly extra?: Readonly<Partial<Record<ServedName, readonly string[]>>>;
  /** Called with each line that a service writes; the log file gets all of them too. */
  readonly onLine?: (name: string, line: string) => void;
  readonly onEvent?: (event: ChildEvent) => void;
}

export interface RunningServices {
  readonly state: UpState;
  /** Folder of the logs. */
  readonly logs: string;
  /** Current process ids by name. */
  pids(): Readonly<Record<string, number | undefined>>;
  /** Resolves when all services have ended. */
  stop(): Promise<void>;
}

/** A large model's checkpoint may take its writer so long; whoever does not want to wait presses Ctrl-C again. */
const CHECKPOINT_MS = 110_000;

/** @throws CommandError if another `up` uses the folder or a service does not start; services that had started are stopped */
export async function startAll(options: StartAllOptions): Promise<RunningServices> {
  const other = readUpState(options.home);
  if (other) {
    throw new CommandError(
      `\`dropstream up\` already runs with the folder ${options.home} (process ${other.pid}): choose another folder with DROPSTREAM_HOME`,
      exitCodes.conflict,
    );
  }
  const logs = join(options.home, 'logs');
  const files: LogFile[] = [];
  const children: { child: SupervisedChild; service: ServedName; role: 'worker' | undefined }[] = [];
  const addresses: Partial<Record<ServedName, string[]>> = {};
  const drainMs = options.drainMs ?? 25_000;
  // Two starts of `up` never use a name twice.
  const session = randomBytes(6).toString('hex');

  const stop = async () => {
    for (const services of stopOrder) {
      await Promise.all(children.filter(({ service }) => services.includes(service)).map(({ child }) => child.stop()));
    }
    await rm(upStatePath(options.home), { force: true });
    await forgetPrometheusTargets(options.home);
    for (const file of files.splice(0)) file.close();
  };

  const launch = async (service: ServedName, name: string, ports: Ports, role?: 'worker') => {
    const file = new LogFile(join(logs, `${name}.log`));
    files.push(file);
    const surroundings = { ...options, addresses, drainMs, logLevel: options.logLevel ?? 'info' };
    const child = new SupervisedChild({
      name,
      argv: [commandLineEntry, 'serve', service, ...serviceArguments(service, surroundings), ...(role ? ['--role', role] : [])],
      ports,
      env: service === 'trainer' ? { ...threadsOf(options.workers ?? 1), ...options.env } : options.env,
      cwd: options.cwd,
      graceMs: claimingServices.includes(service) ? Math.max(drainMs, CHECKPOINT_MS) + 10_000 : drainMs + 10_000,
      instance: claimingServices.includes(service) ? `${name}-${session}` : undefined,
      onLine: (line) => {
        if (files.includes(file)) file.write(line);
        options.onLine?.(name, line);
      },
      onEvent: (event) => options.onEvent?.(event),
    });
    children.push({ child, service, role });
    const { port } = await child.start();
    if (role === 'worker') return;
    const known = addresses[service] ?? [];
    known.push(`127.0.0.1:${port}`);
    addresses[service] = known;
  };

  try {
    for (const service of [...startOrder, ...(options.gateway ? (['gateway'] as const) : [])]) {
      const first = options.ports?.[service] ?? 0;
      const replicas = service === 'data' ? (options.dataReplicas ?? 1) : 1;
      await Promise.all(
        Array.from({ length: replicas }, (_, k) => {
          const port = first === 0 ? 0 : first + k;
          return launch(service, replicas === 1 ? service : `${service}-${k + 1}`, { port, adminPort: port === 0 ? 0 : port + 1000 });
        }),
      );
    }
    const further = Array.from({ length: (options.workers ?? 1) - 1 }, (_, k) => `trainer-${k + 2}`);
    await Promise.all(further.map((name) => launch('trainer', name, { port: 0, adminPort: 0 }, 'worker')));
  } catch (error) {
    await stop();
    throw new CommandError((error as Error).message, exitCodes.failure, { cause: error });
  }

  const services: RunningService[] = [];
  let gateway: UpState['gateway'];
  for (const { child, service, role } of children) {
    const address = `127.0.0.1:${child.ports.port}`;
    const admin = `http://127.0.0.1:${child.ports.adminPort}`;
    if (service === 'gateway') gateway = { url: `${child.tls ? 'https' : 'http'}://${address}`, admin };
    else services.push({ name: child.name, service, ...(role && { role }), address, admin });
  }
  const state: UpState = {
    version: 1,
    pid: process.pid,
    store: options.store,
    dataRoots: options.dataRoots,
    services,
    ...(gateway && { gateway }),
  };
  await writeState(options.home, state);
  await writePrometheusFiles(options.home, [...services, ...(gateway ? [{ name: 'gateway', ...gateway }] : [])]);
  return { state, logs, pids: () => Object.fromEntries(children.map(({ child }) => [child.name, child.pid])), stop };
}

/** Workers on one machine share its cores, unless their environment says otherwise. */
function threadsOf(workers: number): Readonly<Record<string, string>> {
  return workers === 1 ? {} : { DROPSTREAM_THREADS: String(Math.max(1, Math.floor(availableParallelism() / workers))) };
}

async function writeState(home: string, state: UpState): Promise<void> {
  makePrivateFolder(home);
  await replaceFile(upStatePath(home), `${JSON.stringify(state, null, 2)}\n`);
}
