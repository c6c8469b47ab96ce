/**
 * The second port of a service: `/metrics` (Prometheus text or OpenMetrics), `/livez` (the process answers), `/readyz` (it takes new work). On loopback it is plain
 * HTTP. Elsewhere it is HTTPS with the certificate of the service; there, `/metrics` demands a client certificate if the service does, and probes need
 * none, because Kubernetes has none.
 */
import { lookup } from 'node:dns/promises';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { type AddressInfo, isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Registry } from 'prom-client';
import { metricsPage } from '#telemetry/exposition.js';
import { checkListenHost, isLoopback, listenHost } from './loopback.js';
import type { ServerTls } from './tls/read-tls.js';
import { contextOf } from './tls/server-credentials.js';
import type { WatchedTls } from './tls/watched-tls.js';

export interface AdminOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Allows plain text on an address that other machines can reach; default false. */
  readonly allowRemote?: boolean;
  /** TLS of the service. It is used here too, except on loopback and with `allowRemote`. */
  readonly tls?: Pick<WatchedTls, 'current' | 'follow'> | undefined;
  readonly registry: Registry;
  /** Must return false before the start is complete, and from the beginning of draining. */
  readonly isReady: () => boolean;
  /** Called before each scrape, for example to refresh gauges; must be quick. */
  readonly beforeScrape?: () => void | Promise<void>;
}

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

/** A name with addresses of both families is served on each of them, as the gRPC server does. */
export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const host = listenHost(options.host ?? '127.0.0.1', 'admin-host');
  checkListenHost(host, { tls: options.tls !== undefined, allowRemote: options.allowRemote ?? false });
  const tls = isLoopback(host) || options.allowRemote ? undefined : options.tls;
  const answer = adminAnswers(options, tls?.current.clientAuthority !== undefined);
  const servers: Server[] = [];
  let port = options.port ?? 0;
  try {
    for (const address of isIP(host) === 0 ? await addressesOf(host) : [host]) {
      const server = tls ? secureServer(tls.current, answer) : createHttpServer(limits, answer);
      servers.push(server);
      port = await listen(server, port, address);
    }
  } catch (error) {
    await Promise.all(servers.map(closed));
    throw error;
  }
  const use = (next: ServerTls): void => {
    for (const server of servers) (server as HttpsServer).setSecureContext(contextOf(next));
  };
  const unfollow = tls?.follow(use);
  // They may have changed while the servers began to listen.
  if (tls) use(tls.current);
  return {
    port,
    close: async () => {
      unfollow?.();
      await Promise.all(servers.map(closed));
    },
  };
}

const limits = { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 };

function secureServer(tls: ServerTls, answer: RequestListener): Server {
  const demand = { requestCert: tls.clientAuthority !== undefined, rejectUnauthorized: false };
  return createHttpsServer({ ...limits, ...contextOf(tls), ...demand, handshakeTimeout: 5_000 }, (request, response) => {
    // Every request makes a connection of its own, so that a certificate that does not count any more is noticed.
    response.setHeader('connection', 'close');
    answer(request, response);
  });
}

async function addressesOf(name: string): Promise<string[]> {
  const found = await lookup(name, { all: true });
  return [...new Set(found.map(({ address }) => address))];
}

function listen(server: Server, port: number, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

const showsCertificate = (socket: TLSSocket): boolean => socket.authorized && socket.getPeerCertificate().raw !== undefined;

function adminAnswers(options: AdminOptions, demandsCertificate: boolean): RequestListener {
  return (request, response) => {
    const answer = (status: number, body: string, type = 'text/plain; charset=utf-8'): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'only GET\n');
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        if (demandsCertificate && !showsCertificate(request.socket as TLSSocket))
          return answer(403, 'metrics need a client certificate of the authority of this service\n');
        Promise.resolve(options.beforeScrape?.())
          .then(() => metricsPage(options.registry, request.headers.accept))
          .then(
            ({ text, contentType }) => answer(200, text, contentType),
            () => answer(500, 'metrics could not be collected\n'),
          );
        return;
      case '/livez':
        return answer(200, 'ok\n');
      case '/readyz':
        return options.isReady() ? answer(200, 'ok\n') : answer(503, 'not ready\n');
      default:
        return answer(404, 'try /metrics, /livez or /readyz\n');
    }
  };
}
