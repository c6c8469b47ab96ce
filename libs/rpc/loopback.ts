/**
 * Allows plain text and unknown callers only on loopback addresses, which other machines do not reach, unless there are TLS and identities or explicit
 * flags (design §3.10).
 */
import { BlockList, isIP } from 'node:net';
import { invalid } from '#errors/errors.js';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether a name or an address without brackets is this machine's own by its form alone. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family !== 0) return loopback.check(host, `ipv${family as 4 | 6}`);
  return /^(.+\.)?localhost\.?$/i.test(host);
}

/** The address or name that an option gives, without the brackets that IPv6 has beside a port. @throws InvalidArgument where it is something else */
export function listenHost(host: string, option: string): string {
  const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? host;
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.exec(bare)?.[0];
  const [, name, port] = /^(?:[a-z][a-z0-9+.-]*:\/\/)?\[?([^/[\]]*?)\]?(?::(\d+))?\/?$/i.exec(bare) ?? [];
  // A password may stand before it.
  const shown = name?.replace(/^.*@/s, '');
  if (url !== undefined) throw invalid(option, host, `an address or a name without ${url}${shown ? `: ${shown}` : ''}`);
  if (isIP(bare) === 0 && port !== undefined)
    throw invalid(option, host, `an address or a name without a port: ${shown}, and the port in ${option.replace('host', 'port')}`);
  if (/[\s/[\]@]/.test(bare)) throw invalid(option, host, 'an address or a name, for example 127.0.0.1, ::1 or localhost');
  return bare;
}

/** Throws InvalidArgument for a plain-text listener that other machines can reach, unless `allowRemote` is true. */
export function checkListenHost(host: string, options: { readonly tls: boolean; readonly allowRemote: boolean }): void {
  if (isLoopback(host) || options.tls || options.allowRemote) return;
  throw invalid('host', host, 'a loopback address (127.0.0.1, ::1, localhost), or given together with TLS or --allow-remote');
}

/** Throws InvalidArgument for a listener that other machines can reach and that admits everybody, unless `allowAnonymous` is true. */
export function checkAdmission(host: string, options: { readonly identities: boolean; readonly allowAnonymous: boolean }): void {
  if (options.identities && options.allowAnonymous)
    throw invalid('allow-anonymous', true, 'left out, because --identities or --tls-client-ca says who may call');
  if (isLoopback(host) || options.identities || options.allowAnonymous) return;
  throw invalid(
    'host',
    host,
    'a loopback address (127.0.0.1, ::1, localhost), or given together with --identities, --tls-client-ca or --allow-anonymous, because everybody who reaches it could use the service',
  );
}

/** `host:port`, with brackets around IPv6. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
