/** Credentials of a gRPC server whose certificates can be replaced while it listens: connections that exist keep theirs. */
import { constants } from 'node:crypto';
import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import type { ServerTls } from './read-tls.js';

/** grpc-js has such credentials too, but theirs read the files themselves, and admit nobody while a new pair is incomplete. */
export class ReplaceableCredentials extends ServerCredentials {
  constructor(tls: ServerTls) {
    super({ requestCert: tls.clientAuthority !== undefined }, contextOf(tls));
  }

  replace(tls: ServerTls): void {
    this.updateSecureContextOptions(contextOf(tls));
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}

/** What a server shows and trusts. */
export const contextOf = ({ certificate, key, clientAuthority }: ServerTls): SecureContextOptions => ({
  cert: certificate,
  key,
  // Node takes a session of TLS 1.3 that is resumed for authorized, whatever it has shown, and knows less of its certificates.
  ...(clientAuthority === undefined ? {} : { ca: clientAuthority, secureOptions: constants.SSL_OP_NO_TICKET }),
  ...(process.env.GRPC_SSL_CIPHER_SUITES ? { ciphers: process.env.GRPC_SSL_CIPHER_SUITES } : {}),
});
