/** The HTTP server in the place of a gRPC server: who is answered, what by, and how it ends. */
import { setMaxListeners } from 'node:events';
import { Code, ConnectError } from '@connectrpc/connect';
import { invalid } from '#errors/errors.js';
import { isLoopback } from '#rpc/loopback.js';
import { checkListener, type RpcServer, type ServerOptions } from '#rpc/server.js';
import type { RpcRoutes } from '../calls/rpc-routes.js';
import type { HttpMetrics } from '../metrics.js';
import { Admission, preflight } from './admission.js';
import { type Pages, say, securityHeaders } from './pages.js';
import { type HttpRequest, type HttpResponse, TwoProtocols } from './two-protocols.js';

export interface GatewayParts {
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
  readonly pages: Pages;
  readonly metrics: HttpMetrics;
  /** @param leaving ends streams when the gateway drains; its reason is a ConnectError */
  readonly routes: (options: { readonly leaving: AbortSignal } & Pick<ServerOptions, 'identify' | 'audit'>) => RpcRoutes;
}

export function createHttpServer(options: ServerOptions, parts: GatewayParts): RpcServer {
  const host = checkListener({ ...options, identified: options.identify !== undefined });
  const leaving = new AbortController();
  // Every call in flight listens to it.
  setMaxListeners(0, leaving.signal);
  const routes = parts.routes({ ...options, leaving: leaving.signal });
  const admission = new Admission({ host, allowedHosts: parts.allowedHosts, allowedOrigins: parts.allowedOrigins });
  if (!isLoopback(host) && parts.allowedHosts.length === 0 && !options.identify && !options.tls)
    throw invalid(
      'allowed-host',
      '',
      'the names by which browsers reach the gateway, or * for any name, because this --host is no loopback address and there is neither --identities nor TLS, so that a page of a stranger could make a name of its own lead here and call the services',
    );
  const running = new Set<Promise<void>>();

  const answer = async (request: HttpRequest, response: HttpResponse): Promise<string> => {
    for (const [name, value] of Object.entries(securityHeaders)) response.setHeader(name, value);
    const admitted = admission.admit(request);
    if (admitted.refused !== undefined) {
      say(request, response, admitted.status, admitted.refused);
      return 'refused';
    }
    for (const [name, value] of Object.entries(admitted.cors)) response.setHeader(name, value);
    const path = (request.url ?? '').split('?', 1)[0]!;
    const handler = routes.at(path);
    if (handler && request.method === 'OPTIONS') {
      response.writeHead(204, preflight(admitted.cors));
      response.end();
      return 'preflight';
    }
    if (handler) {
      if (admitted.cors['access-control-allow-origin'] !== undefined) response.setHeader('cross-origin-resource-policy', 'cross-origin');
      response.setHeader('cache-control', 'no-store');
      await routes.answer(handler, request, response);
      return 'call';
    }
    if (request.method === 'GET' || request.method === 'HEAD') {
      await parts.pages.answer(path, request, response);
      return 'page';
    }
    say(request, response, 404, `${path.slice(0, 200)} is not a method that this gateway knows; /openapi.json lists them`);
    return 'unknown';
  };
  const onRequest = (request: HttpRequest, response: HttpResponse): void => {
    // A peer that goes away ends its request; nobody else has to know.
    response.on('error', () => {});
    request.on('error', () => {});
    const answered = answer(request, response).then(
      (kind) => parts.metrics.requests.inc({ kind, http_version: request.httpVersionMajor === 2 ? '2' : '1.1' }),
      (error) => {
        options.logger.error({ error }, 'a request could not be answered');
        if (response.headersSent) response.destroy();
        else say(request, response, 500, 'internal error; see the log of the gateway');
      },
    );
    running.add(answered);
    void answered.finally(() => running.delete(answered));
  };

  const server = new TwoProtocols({ tls: options.tls, onRequest, maxConnectionAgeMs: options.maxConnectionAgeMs ?? 0 });
  let port = options.port ?? 0;
  let ended: Promise<void> | undefined;
  let unfollow: (() => void) | undefined;
  const drain = async (graceMs: number): Promise<void> => {
    unfollow?.();
    leaving.abort(new ConnectError('this gateway, which is draining, is unavailable', Code.Unavailable));
    const last = server.end();
    const timer = setTimeout(() => server.destroy(), graceMs);
    await last;
    clearTimeout(timer);
    await Promise.allSettled(running);
  };
  return {
    get port() {
      return port;
    },
    start: async () => {
      port = await server.listen(port, host);
      unfollow = options.followTls?.((tls) => server.use(tls));
    },
    // Whether a service is healthy is asked through the gateway; whether it takes calls itself, /readyz says.
    setServing: () => {},
    leave: () => {},
    drain: (graceMs) => (ended ??= drain(graceMs)),
    close: () => (ended ??= drain(0)),
  };
}
