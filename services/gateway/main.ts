/** The gateway: every RPC of the services over plain HTTP as the Connect protocol with JSON, and the console. */
import { runService } from '#rpc/process.js';
import { callerOptions } from '#rpc/service-options.js';
import { type RunningService, type StartOptions, startService } from '#rpc/start-service.js';
import { createGrpcServerMetrics } from '#telemetry/grpc-metrics.js';
import { BackendClients } from './calls/backend-clients.js';
import { Forwarder } from './calls/forward.js';
import { RpcRoutes } from './calls/rpc-routes.js';
import { type GatewayConfig, gatewayConfig } from './config.js';
import { ConsoleFiles } from './http/console-files.js';
import { createHttpServer, type GatewayParts } from './http/http-server.js';
import { Pages } from './http/pages.js';
import { createHttpMetrics } from './metrics.js';
import { openApiText } from './openapi/document.js';
import { readProtos } from './protos.js';

/** Starts the gateway in this process. The caller must close it. */
export async function start(
  config: GatewayConfig,
  options: Pick<StartOptions, 'logger' | 'processMetrics' | 'signal'> = {},
): Promise<RunningService> {
  const protos = readProtos();
  return await startService({
    name: 'gateway',
    config: { ...config, quotas: '', tokenFile: '' },
    ...options,
    build: ({ logger, registry }) => {
      // Without a certificate of its own: a service that admits by certificates would take every caller for the gateway.
      const { tls } = callerOptions({ tlsCa: config.tlsCa }, []);
      const clients = new BackendClients({ addresses: config, services: protos.services, tls, registry });
      const httpMetrics = createHttpMetrics(registry);
      const metrics = createGrpcServerMetrics(registry);
      const pages = new Pages(new ConsoleFiles(), openApiText(protos), { grafana: config.grafana.replace(/\/+$/, '') });
      let forwarder: Forwarder | undefined;
      const routes: GatewayParts['routes'] = ({ leaving, identify, audit }) => {
        const unexpected = (error: unknown, method: string): void => logger.error({ error, method }, 'a call could not be passed on');
        const { maxUnaryMs, maxStreams, maxBodyBytes } = config;
        forwarder = new Forwarder({ clients, registry: protos.registry, maxUnaryMs, maxStreams, identify, unexpected, leaving });
        return new RpcRoutes({
          ...protos,
          forwarder,
          metrics,
          logger,
          audit,
          maxBodyBytes,
          maxTimeoutMs: LONGEST_MS,
        });
      };
      const { allowedHost: allowedHosts, allowedOrigin: allowedOrigins } = config;
      return {
        services: [],
        listener: (server) => createHttpServer(server, { allowedHosts, allowedOrigins, pages, metrics: httpMetrics, routes }),
        beforeScrape: () => httpMetrics.streams.set(forwarder?.streams ?? 0),
        close: async () => clients.close(),
      };
    },
  });
}

/** Streams may last a day, as those of the services. */
const LONGEST_MS = 24 * 3_600_000;

/** The command `dropstream serve gateway …`. @param argv arguments without node and script */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes('--help')) {
    process.stdout.write(`Usage: dropstream serve gateway [options]\n\n${gatewayConfig.help()}\n`);
    return;
  }
  await runService({ name: 'gateway', start: async () => await start(gatewayConfig.parse({ argv, env: process.env })) });
}
