/** How commands call services: the token, and TLS, from the environment and from the context. */
import type { ConnectOptions } from '#rpc/client.js';
import { callerOptions } from '#rpc/service-options.js';
import type { Context } from './context.js';
import { isOf } from './contexts.js';

/**
 * DROPSTREAM_TLS_CA turns TLS on; DROPSTREAM_TLS_CERT and DROPSTREAM_TLS_KEY are shown to services that demand certificates. What these do not say,
 * the context says if the address is one of its own.
 * @throws InvalidArgument
 */
export function callerOf(
  context: Pick<Context, 'env' | 'server'>,
  address: string,
  tokenFile?: string,
): Pick<ConnectOptions, 'tls' | 'token'> {
  const { env } = context;
  const chosen = context.server?.();
  const server = chosen && isOf(chosen, address) ? chosen : undefined;
  const pair =
    env.DROPSTREAM_TLS_CERT || env.DROPSTREAM_TLS_KEY
      ? { tlsCert: env.DROPSTREAM_TLS_CERT, tlsKey: env.DROPSTREAM_TLS_KEY }
      : { tlsCert: server?.tlsCert, tlsKey: server?.tlsKey };
  const ofEnvironment = env.DROPSTREAM_TOKEN || env.DROPSTREAM_TOKEN_FILE;
  const files = {
    ...pair,
    tlsCa: env.DROPSTREAM_TLS_CA || server?.tlsCa,
    tokenFile: tokenFile ?? (ofEnvironment ? undefined : server?.tokenFile),
  };
  return callerOptions(files, [address], env);
}
