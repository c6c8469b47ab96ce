/** The second port of a service: `/metrics` (Prometheus text), `/livez` (the process answers), `/readyz` (it takes new work). */
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';
import { checkListenHost } from './loopback.js';

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

export async function startAdminServer(options: AdminOptions): Promise<AdminServer> {
  const host = options.host ?? '127.0.0.1';
  checkListenHost(host, { tls: false, allowRemote: options.allowRemote ?? false });
  const server = createHttpServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 }, (request, response) => {
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
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
