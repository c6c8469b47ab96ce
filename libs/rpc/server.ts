/**
 * A gRPC server with this project's handlers, metrics, logs, deadlines, authorisation and error mapping, and with health and reflection. It only
 * listens on other addresses than loopback if it is told whom to admit, and with TLS or an explicit flag. process.ts handles readiness and signals.
 */
import { setMaxListeners } from 'node:events';
import { type ChannelOptions, type Metadata, Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import type { Registry } from 'prom-client';
import type { Audit } from '#auth/audit.js';
import { byCertificateAlone, type Identify } from '#auth/identity.js';
import type { ProjectQuotas } from '#auth/quota.js';
import { type DomainError, Unavailable } from '#errors/errors.js';
import type { Places } from '#errors/hide-places.js';
import { createGrpcServerMetrics, grpcMethod } from '#telemetry/grpc-metrics.js';
import type { Logger } from '#telemetry/logger.js';
import { admitKnown, type KnownCallers } from './admit-calls.js';
import { bindHandler } from './bind-handler.js';
import { withoutProtoKeys } from './callers-fault.js';
import type { AnyMethod, BoundService } from './handlers.js';
import { checkAdmission, checkListenHost, hostPort, listenHost } from './loopback.js';
import { type CallFacts, observeCalls } from './observe-calls.js';
import { reflectionOf } from './reflection.js';
import { StreamQuota } from './stream-quota.js';
import { ConnectionTrust } from './tls/connection-trust.js';
import type { ServerTls } from './tls/read-tls.js';
import { ReplaceableCredentials } from './tls/server-credentials.js';
import type { FollowTls } from './tls/watched-tls.js';

export interface ServerOptions {
  readonly services: readonly BoundService[];
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0, which means any free port. */
  readonly port?: number;
  readonly registry: Registry;
  readonly logger: Logger;
  readonly tls?: ServerTls;
  /** Later states of `tls`: new connections use them, and connections whose client certificate does not count any more end. */
  readonly followTls?: FollowTls | undefined;
  /** Allows plain text on an address that other machines can reach; default false. */
  readonly allowRemote?: boolean;
  /**
   * Admits known callers only, each within its roles. Default: by their certificates alone if `tls.clientAuthority` is given, otherwise everybody is
   * admitted.
   */
  readonly identify?: Identify;
  /** Allows everybody on an address that other machines can reach; default false. */
  readonly allowAnonymous?: boolean;
  /** Where mutations and refusals are written down; default: nowhere. */
  readonly audit?: Audit;
  /** Translates errors of lower libraries to those of errors.ts. */
  readonly mapError?: (error: unknown) => DomainError | undefined;
  /** What errors may name and callers are not shown; default: what looks like a place. */
  readonly places?: Places;
  /** Age in ms at which clients are asked to reconnect, so that they find new replicas; default 5 minutes, 0 for never. */
  readonly maxConnectionAgeMs?: number;
  /** Deadline of a unary call without one, and the longest allowed deadline, in ms; default 10 minutes. */
  readonly maxUnaryMs?: number;
  /** Same as maxUnaryMs, but for streams; default 24 hours. */
  readonly maxStreamMs?: number;
  /** Largest request, bytes; default 4 MiB. */
  readonly maxReceiveBytes?: number;
  /** Largest response message, bytes; default 16 MiB. */
  readonly maxSendBytes?: number;
  /** Number of messages of a stream that may wait for the transport; default 4. */
  readonly streamWindow?: number;
  /**
   * Milliseconds after which a stream ends with RESOURCE_EXHAUSTED if its reader takes nothing while messages wait. Twice that time after it began to
   * wait, it is reset. Default: any time.
   */
  readonly streamProgressMs?: number;
  /** Default true. */
  readonly reflection?: boolean;
  /** Quotas of a project, of which the server keeps `streams`. Default: none. */
  readonly quotasOf?: (project: string) => ProjectQuotas;
}

export interface RpcServer {
  /** Known after start. */
  readonly port: number;
  /** Binds the port and starts serving; the health status becomes SERVING. */
  start(): Promise<void>;
  /** Sets the health status of one service (`dropstream.v1.TrainerService`), or of all services if undefined. */
  setServing(serving: boolean, service?: string): void;
  /** Sets the health status of all services to NOT_SERVING for good. Calls are served as before, so that clients can learn it before they fail. */
  leave(): void;
  /** Rejects new calls and ends watches with UNAVAILABLE. Other calls may finish within `graceMs`, and then end with UNAVAILABLE too. */
  drain(graceMs: number): Promise<void>;
  /** Same as drain(0). */
  close(): Promise<void>;
}

const minute = 60_000;
/** How long connections that were closed may take to end. */
const CLOSE_MS = 1000;

interface Listener extends Pick<ServerOptions, 'host' | 'allowRemote' | 'allowAnonymous'> {
  readonly tls?: ServerTls | undefined;
  /** Whether callers are admitted by their identities. */
  readonly identified: boolean;
}

/**
 * The host to listen on.
 * @throws InvalidArgument for one that other machines reach in plain text or without identities, unless that is allowed
 */
export function checkListener({
  host: given = '127.0.0.1',
  tls,
  identified,
  allowRemote = false,
  allowAnonymous = false,
}: Listener): string {
  const host = listenHost(given, 'host');
  checkListenHost(host, { tls: tls !== undefined, allowRemote });
  checkAdmission(host, { identities: identified || tls?.clientAuthority !== undefined, allowAnonymous });
  return host;
}

export function createServer(options: ServerOptions): RpcServer {
  const host = checkListener({ ...options, identified: options.identify !== undefined });
  const identify = options.identify ?? (options.tls?.clientAuthority ? byCertificateAlone : undefined);
  const callers: KnownCallers = new WeakMap();
  const facts = new WeakMap<Metadata, CallFacts>();
  const metrics = createGrpcServerMetrics(options.registry);
  const trust = options.tls?.clientAuthority && new ConnectionTrust();
  const server = new Server({
    ...channelOptions(options),
    interceptors: [
      observeCalls({
        metrics,
        logger: options.logger,
        facts,
        callers,
        admit: identify && admitKnown(identify, callers),
        trust,
        audit: options.audit,
      }),
    ],
  });
  const streams = options.quotasOf && new StreamQuota(options.quotasOf);
  const draining = new AbortController();
  const closing = new AbortController();
  // Every call in flight listens to both signals, so many listeners are not a leak.
  setMaxListeners(0, draining.signal, closing.signal);

  const serviceNames: string[] = [];
  for (const { definition, names, implementation } of options.services) {
    const bound: Record<string, ReturnType<typeof bindHandler>> = {};
    for (const [key, method] of Object.entries(definition) as [string, AnyMethod][]) {
      const handler = implementation[key];
      if (handler === undefined) throw new Error(`no handler for ${method.path}`);
      const declared = names[key];
      if (declared === undefined) throw new Error(`the resource names in requests of ${method.path} are not declared`);
      metrics.initialise(grpcMethod(method.path, method.requestStream, method.responseStream));
      bound[key] = bindHandler(method, declared, handler, {
        logger: options.logger,
        callers,
        mapError: options.mapError ?? (() => undefined),
        places: options.places ?? {},
        maxUnaryMs: options.maxUnaryMs ?? 10 * minute,
        maxStreamMs: options.maxStreamMs ?? 24 * 60 * minute,
        streamWindow: options.streamWindow ?? 4,
        streamProgressMs: options.streamProgressMs,
        streams,
        draining: draining.signal,
        closing: closing.signal,
        note: (metadata, known) => facts.set(metadata, known),
      });
    }
    server.addService(guarded(definition), bound);
    serviceNames.push(serviceNameOf(definition));
  }
  const health = new HealthImplementation(Object.fromEntries(['', ...serviceNames].map((name) => [name, 'NOT_SERVING'])));
  health.addToServer(server);
  if (options.reflection !== false) reflectionOf(serviceNames).addToServer(server);

  let port = options.port ?? 0;
  let state: 'new' | 'serving' | 'leaving' | 'ended' = 'new';
  let unfollow: (() => void) | undefined;
  const setServing = (serving: boolean, service?: string): void => {
    // A late probe must not undo the draining.
    if (serving && (state === 'leaving' || state === 'ended')) return;
    for (const name of service === undefined ? ['', ...serviceNames] : [service])
      health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
  };

  const leave = (): void => {
    if (state === 'ended') return;
    state = 'leaving';
    setServing(false);
  };

  const drain = async (graceMs: number): Promise<void> => {
    if (state === 'ended') return;
    state = 'ended';
    unfollow?.();
    trust?.close();
    setServing(false);
    draining.abort(new Unavailable('this replica, which is draining,', 500));
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      server.tryShutdown(() => resolve());
      timer = setTimeout(() => {
        closing.abort(new Unavailable('this replica, which is stopping,', 500));
        // The statuses above get a moment to be sent; then the connections are closed.
        timer = setTimeout(() => {
          server.forceShutdown();
          // A peer that is frozen does not close its side of a connection; nobody waits for it.
          timer = setTimeout(resolve, CLOSE_MS);
        }, 250);
      }, graceMs);
    });
    clearTimeout(timer);
  };

  return {
    get port() {
      return port;
    },
    setServing,
    start: async () => {
      if (state !== 'new') throw new Error(`the server is ${state}`);
      const credentials = options.tls ? new ReplaceableCredentials(options.tls) : ServerCredentials.createInsecure();
      unfollow = options.followTls?.((tls) => {
        if (credentials instanceof ReplaceableCredentials) credentials.replace(tls);
        if (tls.clientAuthority) trust?.use(tls.clientAuthority);
      });
      port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(hostPort(host, port), credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
      });
      state = 'serving';
      setServing(true);
    },
    leave,
    drain,
    close: () => drain(0),
  };
}

/** The definition with requests that cannot change what objects are made of. */
function guarded(definition: ServiceDefinition): ServiceDefinition {
  const methods = Object.entries(definition).map(([key, method]) => [
    key,
    { ...method, requestDeserialize: withoutProtoKeys(method.requestDeserialize) },
  ]);
  return Object.fromEntries(methods) as ServiceDefinition;
}

function serviceNameOf(definition: ServiceDefinition): string {
  const [first] = Object.values(definition);
  return first?.path.split('/')[1] ?? '';
}

function channelOptions(options: ServerOptions): ChannelOptions {
  const age = options.maxConnectionAgeMs ?? 5 * minute;
  return {
    'grpc.max_receive_message_length': options.maxReceiveBytes ?? 4 * 2 ** 20,
    'grpc.max_send_message_length': options.maxSendBytes ?? 16 * 2 ** 20,
    // Detects a dead peer within 80 s.
    'grpc.keepalive_time_ms': minute,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.max_concurrent_streams': 1000,
    ...(age > 0 ? { 'grpc.max_connection_age_ms': age, 'grpc.max_connection_age_grace_ms': 10 * minute } : {}),
  };
}
