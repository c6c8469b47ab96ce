/**
 * Which HTTP proxy a service is reached through: grpc_proxy, https_proxy or http_proxy, the first that is set, except for this machine and for what
 * no_grpc_proxy or no_proxy lists. All are read in lower case, then in upper case. grpc-js has a rule of its own, which would send calls to this
 * machine through the proxy and knows neither `*` nor IPv6 ranges, so it is turned off (channel.ts).
 */
import { BlockList, isIP } from 'node:net';
import { invalid } from '#errors/errors.js';
import type { Endpoint } from './address.js';
import { isLoopback } from './loopback.js';

export interface HttpProxy {
  /** host:port */
  readonly address: string;
  /** user:password */
  readonly credentials: string | undefined;
  /** For messages; never with credentials: `the proxy http://host:port (https_proxy)`. */
  readonly shown: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const PROXY_VARIABLES = ['grpc_proxy', 'https_proxy', 'http_proxy'];
const EXCEPTION_VARIABLES = ['no_grpc_proxy', 'no_proxy'];
const DEFAULT_PROXY_PORT = '80';

/** undefined: it is dialled directly. @throws InvalidArgument for a proxy that cannot be used */
export function proxyFor({ host, port }: Endpoint, env: Environment = process.env): HttpProxy | undefined {
  const proxy = firstSet(PROXY_VARIABLES, env);
  if (proxy === undefined || isThisMachine(host)) return undefined;
  const exceptions = firstSet(EXCEPTION_VARIABLES, env)?.value ?? '';
  const entries = exceptions.split(/[\s,]+/).filter((entry) => entry !== '');
  const name = host.toLowerCase().replace(/\.$/, '');
  return entries.some((entry) => covers(entry.toLowerCase(), name, port)) ? undefined : parseProxy(proxy.variable, proxy.value);
}

/** An empty variable counts as absent, because compose files create such variables. */
function firstSet(names: readonly string[], env: Environment): { variable: string; value: string } | undefined {
  for (const name of names)
    for (const variable of [name, name.toUpperCase()]) {
      const value = env[variable]?.trim();
      if (value) return { variable, value };
    }
  return undefined;
}

/** The addresses that stand for every address of this machine lead nowhere else either. */
const isThisMachine = (host: string): boolean => isLoopback(host) || host === '0.0.0.0' || host === '::';

/** Whether an entry of no_proxy, in lower case, means a host: `*`, a name and all names below it, an address, or a range in CIDR notation. */
function covers(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true;
  const family = isIP(host);
  const range = /^\[?([^[\]/]+)\]?\/(\d{1,3})$/.exec(entry);
  if (range) {
    const [network = '', bits] = [range[1], Number(range[2])];
    const networkFamily = isIP(network);
    if (family === 0 || networkFamily === 0 || bits > (networkFamily === 4 ? 32 : 128)) return false;
    const list = new BlockList();
    list.addSubnet(network, bits, `ipv${networkFamily as 4 | 6}`);
    return list.check(host, `ipv${family as 4 | 6}`);
  }
  const [, bracketed, plain, only] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(entry) ?? [];
  if (only !== undefined && Number(only) !== port) return false;
  const name = bracketed ?? plain ?? entry;
  const nameFamily = isIP(name);
  if (nameFamily !== 0) {
    const list = new BlockList();
    list.addAddress(name, `ipv${nameFamily as 4 | 6}`);
    return family !== 0 && list.check(host, `ipv${family as 4 | 6}`);
  }
  const suffix = name.replace(/^\*?\./, '');
  return suffix !== '' && (host === suffix || host.endsWith(`.${suffix}`));
}

function parseProxy(variable: string, value: string): HttpProxy {
  const text = /^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== 'http:' || url.hostname === '')
    throw invalid(
      variable,
      text.replace(/\/\/.*@/s, '//'),
      'http://host:port, the address of an HTTP proxy; list in no_proxy what is reached without it',
    );
  const address = `${url.hostname}:${url.port || DEFAULT_PROXY_PORT}`;
  const credentials = url.username === '' ? undefined : `${unescaped(url.username)}:${unescaped(url.password)}`;
  return { address, credentials, shown: `the proxy http://${address} (${variable})` };
}

/** Passwords contain percent signs that escape nothing. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
