/** How commands call services: the token, and TLS, from the environment. */
import type { ConnectOptions } from '#rpc/client.js';
import { callerOptions } from '#rpc/service-options.js';
import type { Context } from './context.js';

/**
 * DROPSTREAM_TLS_CA turns TLS on; DROPSTREAM_TLS_CERT and DROPSTREAM_TLS_KEY are shown to services that demand certificates.
 * @throws InvalidArgument
 */
export function callerOf({ env }: Pick<Context, 'env'>, address: string, tokenFile?: string): Pick<ConnectOptions, 'tls' | 'token'> {
  const files = { tlsCa: env.DROPSTREAM_TLS_CA, tlsCert: env.DROPSTREAM_TLS_CERT, tlsKey: env.DROPSTREAM_TLS_KEY, tokenFile };
  return callerOptions(files, [address], env);
}
