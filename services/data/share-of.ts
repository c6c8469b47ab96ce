import type { CallContext } from '#rpc/handlers.js';
import type { Share } from './shares.js';

const connections = new WeakMap<AbortSignal, number>();
let known = 0;

/** The share of a call: its caller, and within it the connection and the name that the client gave. */
export function shareOf({ caller, connectionClosed }: Pick<CallContext, 'caller' | 'connectionClosed'>, client: string): Share {
  let connection = connections.get(connectionClosed);
  if (connection === undefined) {
    connection = ++known;
    connections.set(connectionClosed, connection);
  }
  return { caller, key: `${connection}/${client}` };
}
