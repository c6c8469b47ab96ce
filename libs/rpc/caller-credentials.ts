/** What a client shows to servers, and where it may. */
import { type ChannelCredentials, credentials } from '@grpc/grpc-js';
import { invalid } from '#errors/errors.js';
import { parseAddress } from './address.js';
import type { ConnectOptions } from './client.js';
import { isLoopback } from './loopback.js';
import { AskingCredentials } from './tls/channel-credentials.js';

/** @throws InvalidArgument if others could read the token on its way to the address */
export function checkTokenIsSafe(address: string, { token, tls }: Pick<ConnectOptions, 'token' | 'tls'>): void {
  if (token === undefined || tls !== undefined) return;
  for (const { host } of parseAddress(address).endpoints)
    if (!isLoopback(host))
      throw invalid('address', address, 'on this machine, or used with TLS, because a token is not sent in plain text to other machines');
}

export function credentialsOf(tls: ConnectOptions['tls']): ChannelCredentials {
  if (typeof tls === 'function') return new AskingCredentials(tls);
  return tls === undefined ? credentials.createInsecure() : credentials.createSsl(tls.authority, tls.key, tls.certificate);
}
