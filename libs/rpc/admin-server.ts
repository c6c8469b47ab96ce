/** The second port of a service: `/metrics` (Prometheus text), `/livez` (the process answers), `/readyz` (it takes new work). */
import { lookup } from 'node:dns/promises';
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http';
import { type AddressInfo, isIP } from 'node:net';
import type { Registry } from 'prom-client';
import { checkListenHost, listenHost } from './loopback.js';

export interface AdminOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly allowRemote?: boolean;
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
  checkListenHost(host, { tls: false, allowRemote: options.allowRemote ?? false });
  const answer = adminAnswers(options);
  const servers: Server[] = [];
  let port = options.port ?? 0;
  try {
    for (const address of isIP(host) === 0 ? await addressesOf(host) : [host]) {
      const server = createHttpServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 }, answer);
      servers.push(server);
      port = await listen(server, port, address);
    }
  } catch (error) {
    await Promise.all(servers.map(closed));
    throw error;
  }
  return { port, close: async () => void (await Promise.all(servers.map(closed))) };
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

function adminAnswers(options: AdminOptions): RequestListener {
  return (request, response) => {
    const answer = (status: number, body: string, type = 'text/plain; charset=utf-8'): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'only GET\n');
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        Promise.resolve(options.beforeScrape?.())
          .then(() => options.registry.metrics())
          .then(
            (page) => answer(200, page, options.registry.contentType),
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
