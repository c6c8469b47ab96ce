/**
 * Who makes a call, for dividing a server among its callers: the principal, from whichever address; without identities the address, whose ports and
 * connections are one caller.
 */
import type { Identity } from '#auth/identity.js';

/** The callers of a Unix socket, which have no address. */
const unixSocket = 'unix';

/** @param peer as grpc-js names it: `host:port`, with IPv6 addresses without brackets, or `unknown` for a Unix socket */
export function callerOf(peer: string, identity?: Identity): string {
  // No address has a space.
  if (identity) return `principal ${identity.principal}`;
  if (peer === 'unknown') return unixSocket;
  const host = peer.replace(/:\d+$/, '');
  // An IPv4 address is the same caller on a socket for both families.
  return host.replace(/^::ffff:(?=\d+\.)/i, '');
}
