/** The addresses of services as people give them: `host:port`, several of them joined by commas, or a gRPC target. */
import { isIP } from 'node:net';
import { invalid } from '#errors/errors.js';

export interface Endpoint {
  /** A name, an IPv4 address, or an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface Address {
  /** The gRPC target that stands for it. */
  readonly target: string;
  /** Empty for sockets of this machine (`unix:`). */
  readonly endpoints: readonly Endpoint[];
  /** What is dialled is given exactly (`ipv4:`, `ipv6:` and `unix:` targets), so that nothing may come between. */
  readonly exact: boolean;
}

/** For messages, where the service is not known. */
const EXAMPLE_PORT = 7013;

/**
 * @param field for messages
 * @param examplePort the service's default port, for messages
 * @throws InvalidArgument that says what to write instead
 */
export function parseAddress(text: string, field = 'address', examplePort = EXAMPLE_PORT): Address {
  const wrong = wrongAddress(text, examplePort);
  if (wrong !== undefined) throw invalid(field, text, wrong);
  if (/^unix(-abstract)?:/.test(text)) return { target: text, endpoints: [], exact: true };
  const { scheme, rest } = parts(text);
  const endpoints = rest.split(',').map((part) => split(part.trim()) as Endpoint);
  const first = endpoints[0] as Endpoint;
  if (scheme === 'dns' || (scheme === '' && endpoints.length === 1))
    return { target: `dns:///${endpointText(first)}`, endpoints, exact: false };
  const literal = endpoints.map(({ host, port }) => ({ host: host === 'localhost' ? '127.0.0.1' : host, port }));
  const family = scheme === '' ? `ipv${isIP((literal[0] as Endpoint).host)}` : scheme;
  return { target: `${family}:${literal.map(endpointText).join(',')}`, endpoints: literal, exact: scheme !== '' };
}

/** What an address must be; undefined: it is one. */
export function wrongAddress(text: string, examplePort = EXAMPLE_PORT): string | undefined {
  if (/^unix(-abstract)?:./.test(text)) return undefined;
  const { scheme, rest } = parts(text);
  const all = rest.split(',').map((part) => part.trim());
  for (const part of all) {
    const wrong = wrongEndpoint(part, examplePort);
    if (wrong !== undefined) return wrong;
  }
  const families = new Set(all.map((part) => isIP((split(part) as Endpoint).host.replace(/^localhost$/, '127.0.0.1'))));
  if (scheme === 'ipv4' || scheme === 'ipv6')
    return families.size === 1 && families.has(scheme === 'ipv4' ? 4 : 6) ? undefined : `addresses of the family ${scheme}, with ports`;
  if (all.length === 1) return undefined;
  if (scheme === 'dns') return 'one name and one port, which stand for all replicas behind the name';
  return families.size === 1 && !families.has(0)
    ? undefined
    : 'several IPv4 addresses or several IPv6 addresses, with ports; for replicas with names give one name that stands for all of them, dns:///name:port';
}

/** `host:port`, with brackets around IPv6. */
export const endpointText = ({ host, port }: Endpoint): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** gRPC's own schemes; anything else before a colon is the name of a host. */
function parts(text: string): { scheme: 'dns' | 'ipv4' | 'ipv6' | ''; rest: string } {
  const match = /^(?:(dns):(?:\/\/[^/]*\/)?|(ipv[46]):)(?!\d+$)(.+)$/.exec(text);
  return { scheme: (match?.[1] ?? match?.[2] ?? '') as 'dns', rest: match?.[3] ?? text };
}

function split(text: string): Endpoint | undefined {
  const match = /^(?:\[([^[\]]+)\]|([^:[\]/@\s]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const [host, port] = [match[1] ?? match[2] ?? '', Number(match[3])];
  if (match[1] !== undefined && isIP(host.replace(/%.*$/, '')) !== 6) return undefined;
  return port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

function wrongEndpoint(text: string, examplePort: number): string | undefined {
  if (split(text) !== undefined) return undefined;
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0];
  if (url !== undefined) {
    const rest = text
      .slice(url.length)
      .replace(/^.*@/s, '')
      .replace(/[/?#].*$/s, '');
    const host = split(rest) ? rest : split(`${rest}:${examplePort}`) ? `${rest}:${examplePort}` : `localhost:${examplePort}`;
    return `host:port without ${url}, for example ${host}`;
  }
  if (isIP(text) === 6) return `an IPv6 address in brackets, then its port, for example [::1]:${examplePort}`;
  const withoutPath = text.replace(/\/.*$/s, '');
  if (withoutPath !== text && split(withoutPath)) return `host:port without a path: ${withoutPath}`;
  if (split(`${text}:${examplePort}`)) return `host:port; the port is missing, for example ${text}:${examplePort}`;
  return `host:port with a port from 1 to 65535, for example localhost:${examplePort}`;
}
