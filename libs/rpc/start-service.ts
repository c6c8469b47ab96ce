/** Starts a service: registry, gRPC server, admin server, readiness and draining. The `main.ts` of every service calls this. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Registry } from 'prom-client';
import type { Quotas } from '#auth/quotas.js';
import { createLogger, type Logger } from '#telemetry/logger.js';
import { createRegistry } from '#telemetry/metrics.js';
import { version } from '#telemetry/version.js';
import { startAdminServer } from './admin-server.js';
import type { BoundService } from './handlers.js';
import { mapLowerErrors } from './map-lower-errors.js';
import { openAudit } from './open-audit.js';
import { openIdentities } from './open-identities.js';
import { openQuotas } from './open-quotas.js';
import { checkListener, createServer, type RpcServer, type ServerOptions } from './server.js';
import type { ServiceConfig } from './service-options.js';
import { watchTls } from './tls/watched-tls.js';

export interface ServiceParts {
  readonly services: readonly BoundService[];
  /** Makes what listens on the port, if that is not a gRPC server. */
  readonly listener?: (options: ServerOptions) => RpcServer;
  /** Runs when draining begins, while calls are still served: stops workers and writes checkpoints. */
  readonly drain?: () => Promise<void>;
  /** Runs last, when no call is left: closes stores and clients. */
  readonly close?: () => Promise<void>;
  readonly beforeScrape?: () => void | Promise<void>;
  /** Runs when the gRPC server listens, with its port. */
  readonly listening?: (port: number) => void;
  /** True if others need the service until `drain` has ended: calls are taken for so long, but not for the usual delay. */
  readonly servesWhileDraining?: boolean;
}

export interface StartOptions {
  /** `data`, `scheduler`, `trainer`, `evaluator` or `gateway`. */
  readonly name: string;
  readonly config: ServiceConfig;
  /** Creates the service's own parts. It may wait; until it resolves, the service is not ready. If it throws, the start fails. */
  readonly build: (deps: {
    logger: Logger;
    registry: Registry;
    setServing: RpcServer['setServing'];
    quotas: Pick<Quotas, 'of' | 'weightOf'>;
    /** StartOptions.signal. */
    signal: AbortSignal | undefined;
  }) => ServiceParts | Promise<ServiceParts>;
  /** `mapError` is tried before mapLowerErrors, which is always used. */
  readonly server?: Partial<
    Pick<
      ServerOptions,
      'mapError' | 'places' | 'maxUnaryMs' | 'maxStreamMs' | 'maxReceiveBytes' | 'maxSendBytes' | 'streamWindow' | 'streamProgressMs'
    >
  >;
  /** Default: from config.logLevel. */
  readonly logger?: Logger;
  /** Whether to export metrics of the process; default true. False if several services share a process. */
  readonly processMetrics?: boolean;
  /** Ends a start that waits for something. */
  readonly signal?: AbortSignal;
  /** RunningService.finished. */
  readonly finished?: AbortSignal;
}

export interface RunningService {
  readonly name: string;
  readonly port: number;
  readonly adminPort: number;
  /** Whether the port speaks TLS. */
  readonly tls: boolean;
  readonly registry: Registry;
  /** Aborts when the service has nothing more to do, so that its process may end. */
  readonly finished?: AbortSignal | undefined;
  /**
   * Turns readiness off and stops workers at once; takes calls for `delayMs` more, gives those that run then `graceMs` to finish, and closes everything.
   * Defaults: as configured, and no delay if there is nothing to call.
   */
  drain(times?: { readonly delayMs?: number; readonly graceMs?: number }): Promise<void>;
  /** Same as drain without delay and grace period. Ends the delay of a drain in progress. */
  close(): Promise<void>;
}

export async function startService(options: StartOptions): Promise<RunningService> {
  const { name, config } = options;
  const logger = options.logger ?? createLogger({ service: name, level: config.logLevel });
  const registry = createRegistry({ service: name, version, process: options.processMetrics ?? true });
  const tls = watchTls({ paths: config, logger, registry });
  let ready = false;
  let server: RpcServer | undefined;
  let parts: ServiceParts | undefined;
  let identities: ReturnType<typeof openIdentities>;
  const undo: (() => Promise<void> | void | undefined)[] = [() => identities?.close(), () => tls?.close()];
  try {
    // Whether callers are admitted as the options say is known before anything is waited for.
    checkListener({ ...config, tls: tls?.current, identified: config.identities !== '' });
    identities = openIdentities(config.identities, logger);
    const quotas = openQuotas(config.quotas, logger);
    undo.unshift(() => quotas.close());
    const audit = await openAudit(config, logger, registry);
    undo.unshift(() => audit?.close());
    // The admin server comes first, so that /readyz can say that the service is not ready yet.
    const admin = await startAdminServer({
      host: config.adminHost,
      port: config.adminPort,
      allowRemote: config.allowRemote,
      registry,
      isReady: () => ready && !tls?.expired,
      tls,
      beforeScrape: () => parts?.beforeScrape?.(),
    });
    undo.unshift(() => admin.close());
    let serving = true;
    const setServing: RpcServer['setServing'] = (now, service) => {
      if (service === undefined) serving = now;
      server?.setServing(now, service);
    };
    const built = await options.build({ logger, registry, signal: options.signal, setServing, quotas });
    parts = built;
    undo.unshift(() => built.close?.());
    server = (built.listener ?? createServer)({
      services: built.services,
      host: config.host,
      port: config.port,
      registry,
      logger,
      allowRemote: config.allowRemote,
      allowAnonymous: config.allowAnonymous,
      ...(identities === undefined ? {} : { identify: identities.identify }),
      quotasOf: quotas.of,
      ...(audit === undefined ? {} : { audit: audit.audit }),
      maxConnectionAgeMs: config.maxConnectionAgeMs,
      ...(tls === undefined ? {} : { tls: tls.current, followTls: tls.follow }),
      ...options.server,
      mapError: (error) => options.server?.mapError?.(error) ?? mapLowerErrors(error),
    });
    const started = server;
    await started.start();
    built.listening?.(started.port);
    // A probe may have failed while the server was starting.
    if (!serving) started.setServing(false);
    undo.unshift(() => started.close());
    ready = true;
    logger.info({ host: config.host, port: started.port, admin_port: admin.port, version }, 'serving');

    let ended: Promise<void> | undefined;
    const hurry = new AbortController();
    const end = async (delayMs: number, graceMs: number): Promise<void> => {
      ready = false;
      started.leave();
      const drained = built.drain?.();
      const calls = async (): Promise<void> => {
        // Only an abort ends it early.
        await delay(delayMs, undefined, { signal: hurry.signal }).catch(() => undefined);
        if (built.servesWhileDraining) await drained?.catch(() => undefined);
        await started.drain(graceMs);
      };
      const results = await Promise.allSettled([calls(), drained]);
      const own = [admin.close(), identities?.close(), quotas.close(), tls?.close(), audit?.close()];
      const last = await Promise.allSettled([...own, built.close?.()]);
      const failed = [...results, ...last].find((r) => r.status === 'rejected');
      if (failed) throw failed.reason;
    };
    const isCalled = (built.services.length > 0 && !built.servesWhileDraining) || built.listener !== undefined;
    const usualDelayMs = isCalled ? config.drainDelayMs : 0;
    const drain: RunningService['drain'] = ({ delayMs = usualDelayMs, graceMs = config.drainMs } = {}) => (ended ??= end(delayMs, graceMs));
    const close = (): Promise<void> => {
      hurry.abort();
      return drain({ delayMs: 0, graceMs: 0 });
    };
    return { name, port: started.port, adminPort: admin.port, tls: tls !== undefined, registry, finished: options.finished, drain, close };
  } catch (error) {
    for (const step of undo) await Promise.resolve(step()).catch(() => {});
    throw error;
  }
}
