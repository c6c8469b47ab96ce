/**
 * Which requests of browsers are answered. A page of another server can make a browser call this one: under the browser's own name for it, which the
 * page's owner may have changed to this machine's address (DNS rebinding), so that the name must be one of ours; and under ours, so that a page of
 * another origin must be on the list (CORS).
 */
import { cors } from '@connectrpc/connect';
import { isLoopback } from '#rpc/loopback.js';
import type { HttpRequest } from './two-protocols.js';

export interface AdmissionOptions {
  /** The address that is listened on. */
  readonly host: string;
  readonly allowedHosts: readonly string[];
  readonly allowedOrigins: readonly string[];
}

export type Headers = Readonly<Record<string, string>>;

export type Admitted =
  /** `cors`: headers of the answer for the page. */
  { readonly refused?: undefined; readonly cors: Headers } | { readonly refused: string; readonly status: 400 | 403 | 421 };

/** What pages may send and read. */
const requestHeaders = [...cors.allowedHeaders, 'Authorization', 'Traceparent', 'Tracestate', 'Dropstream-Project'].join(', ');
const methods = cors.allowedMethods.join(', ');
const exposed = cors.exposedHeaders.join(', ');
/** Chrome keeps answers of preflights for two hours at most. */
const PREFLIGHT_SECONDS = '7200';

export class Admission {
  readonly #hosts: ReadonlySet<string> | undefined;
  readonly #origins: ReadonlySet<string>;

  constructor({ host, allowedHosts, allowedOrigins }: AdmissionOptions) {
    const loopback = isLoopback(host);
    const own = loopback ? ['localhost', '127.0.0.1', '[::1]', host.includes(':') ? `[${host}]` : host] : [];
    // Behind another address there may be any name of it, if callers have tokens or the certificate says the name.
    const any = allowedHosts.includes('*') || (!loopback && allowedHosts.length === 0);
    this.#hosts = any ? undefined : new Set([...own, ...allowedHosts].map((name) => name.toLowerCase()));
    this.#origins = new Set(allowedOrigins.map((origin) => origin.toLowerCase()));
  }

  admit(request: HttpRequest): Admitted {
    const authority = authorityOf(request);
    const host = authority === undefined ? undefined : hostOf(authority);
    if (authority === undefined || host === undefined) return { refused: 'the request does not say for which host it is', status: 400 };
    if (this.#hosts?.has(host) === false)
      return { refused: `this gateway is not ${shown(host)}: add --allowed-host if it is`, status: 421 };
    const origin = request.headers.origin?.toLowerCase();
    if (origin === undefined) {
      // Browsers send no origin with the loads of pages; what they load for others is theirs, except a page that somebody opens.
      const isForeign = /^(cross-site|same-site)$/.test(text(request.headers['sec-fetch-site']));
      if (isForeign && text(request.headers['sec-fetch-mode']) !== 'navigate') return foreign('another site');
      return { cors: {} };
    }
    if (this.#origins.has(origin))
      return {
        cors: { 'access-control-allow-origin': text(request.headers.origin), 'access-control-expose-headers': exposed, vary: 'Origin' },
      };
    const scheme = 'encrypted' in request.socket && request.socket.encrypted ? 'https' : 'http';
    // Proxies that end TLS for us are reached by https.
    if (origin === `${scheme}://${authority}` || origin === `https://${authority}`) return { cors: {} };
    return foreign(shown(origin));
  }
}

const foreign = (who: string): Admitted => ({
  refused: `pages of ${who} may not call this gateway: add --allowed-origin if they may`,
  status: 403,
});

/** Headers for the question of a browser whether a page may call. */
export const preflight = (allowed: Headers): Headers => ({
  ...allowed,
  'access-control-allow-methods': methods,
  'access-control-allow-headers': requestHeaders,
  'access-control-max-age': PREFLIGHT_SECONDS,
});

function authorityOf(request: HttpRequest): string | undefined {
  const named = 'authority' in request ? (request.authority ?? request.headers.host) : request.headers.host;
  return typeof named === 'string' ? named.toLowerCase() : undefined;
}

/** Without the port; undefined for what is none. */
const hostOf = (authority: string): string | undefined =>
  /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/.exec(authority)?.[1]?.replace(/(?<=[^.])\.$/, '');

const text = (header: string | string[] | undefined): string => (typeof header === 'string' ? header : '');
const shown = (name: string): string => JSON.stringify(name.slice(0, 100));
