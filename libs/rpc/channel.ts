/** Channels to services: the address and the proxy are decided here, for typed clients and for any other. */
import { type ChannelCredentials, type ChannelOptions, Client } from '@grpc/grpc-js';
import { invalid } from '#errors/errors.js';
import { endpointText, parseAddress } from './address.js';
import { type Environment, type HttpProxy, proxyFor } from './proxy.js';
import { keepProxyFailures, recentProxyFailure } from './proxy-failures.js';

export interface Channel {
  readonly client: Client;
  /** For messages: where calls go, and what went wrong on the way if that is known. */
  readonly where: () => string;
}

/**
 * Connects lazily. The caller closes the client.
 * @throws InvalidArgument for an address or a proxy that cannot be used
 */
export function openChannel(
  address: string,
  credentials: ChannelCredentials,
  options: ChannelOptions = {},
  env: Environment = process.env,
): Channel {
  const { target, endpoints, exact } = parseAddress(address);
  const direct = { ...options, 'grpc.enable_http_proxy': 0 };
  const shown = endpoints.length === 0 ? target : endpoints.map(endpointText).join(',');
  const proxy = exact
    ? undefined
    : endpoints.map((endpoint): HttpProxy | undefined => proxyFor(endpoint, env)).find((one) => one !== undefined);
  if (proxy === undefined) return { client: new Client(target, credentials, direct), where: () => shown };
  if (endpoints.length > 1)
    throw invalid('address', address, `one address, because it is reached through ${proxy.shown}; or list all of these hosts in no_proxy`);
  keepProxyFailures();
  const client = new Client(`dns:///${proxy.address}`, credentials, {
    ...direct,
    'grpc.http_connect_target': target,
    ...(proxy.credentials === undefined ? {} : { 'grpc.http_connect_creds': proxy.credentials }),
    'grpc.default_authority': shown,
  });
  const way = `${shown} through ${proxy.shown}`;
  return {
    client,
    where: () => {
      const failure = recentProxyFailure(shown);
      return failure === undefined ? way : `${way}, which failed: ${failure}; list the host in no_proxy if it is reached without a proxy`;
    },
  };
}
