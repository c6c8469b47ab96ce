/** Asks for the list of replicas at intervals: added replicas are used within an epoch, and removed ones get no new calls. */
import { lookup } from 'node:dns/promises';
import { type Endpoint, endpointText, parseAddress } from '#rpc/address.js';
import type { ConnectOptions } from '#rpc/client.js';
import { proxyFor } from '#rpc/proxy.js';

/** Returns the addresses of the current replicas, `host:port` or gRPC targets. */
export type Discover = () => Promise<readonly string[]>;

const DNS_PREFIX = 'dns:///';
const DEFAULT_INTERVAL_MS = 5000;

/** True if the address names all replicas behind a DNS name (`dns:///data:7011`). */
export const isDiscovered = (address: string): boolean => address.startsWith(DNS_PREFIX);

/**
 * Replaces each `dns:///host:port` by one address for each of its DNS records, and keeps other addresses. A name that is reached through a proxy is
 * kept too, because the proxy resolves it.
 * @throws if no name resolves
 */
export async function resolveAddresses(addresses: readonly string[], env = process.env): Promise<string[]> {
  const resolved = await Promise.all(
    addresses.map(async (address) => {
      if (!isDiscovered(address)) return [address];
      const [endpoint] = parseAddress(address).endpoints as [Endpoint];
      if (proxyFor(endpoint, env)) return [address];
      const found = await lookup(endpoint.host, { all: true });
      return found.map(({ address: host, family }) => {
        const one = { host, port: endpoint.port };
        // The name decides about the proxy: no_proxy lists names and not what they resolve to.
        return proxyFor(one, env) ? `ipv${family}:${endpointText(one)}` : endpointText(one);
      });
    }),
  );
  return [...new Set(resolved.flat())].sort();
}

/** Replicas behind one name are dialled by their addresses, and have certificates for the name. */
export function certifiedByName(addresses: readonly string[], connect: ConnectOptions | undefined): ConnectOptions | undefined {
  const tls = connect?.tls;
  const given = typeof tls === 'function' ? tls() : tls;
  if (given === undefined || given.serverName !== undefined || !addresses.every(isDiscovered)) return connect;
  const [serverName, ...others] = new Set(addresses.flatMap((address) => parseAddress(address).endpoints.map(({ host }) => host)));
  if (serverName === undefined || others.length > 0) return connect;
  return { ...connect, tls: typeof tls === 'function' ? () => ({ ...tls(), serverName }) : { ...given, serverName } };
}

/** Calls `found` with the addresses every few seconds until it is closed. A lookup that fails or finds none changes nothing. */
export class ReplicaDiscovery {
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | undefined;

  constructor(
    private readonly discover: Discover,
    private readonly found: (addresses: readonly string[]) => void,
    intervalMs = DEFAULT_INTERVAL_MS,
  ) {
    this.#timer = setInterval(() => void this.look(), intervalMs);
    this.#timer.unref();
    void this.look();
  }

  /** Looks the addresses up now; only one lookup runs at a time. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.discover()
      .then((addresses) => {
        if (addresses.length > 0) this.found(addresses);
      })
      .catch(() => {})
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
