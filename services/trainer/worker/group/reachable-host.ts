/** The address under which other machines reach this one. */
import { networkInterfaces } from 'node:os';

const anyAddress: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

/** @param given what the option says; empty: found from the address on which the server listens */
export function reachableHost(given: string, listensOn: string): string {
  if (given !== '') return given;
  if (!anyAddress.has(listensOn)) return listensOn;
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  const outside = addresses.filter(({ internal }) => !internal);
  return (outside.find(({ family }) => family === 'IPv4') ?? outside[0])?.address ?? '127.0.0.1';
}
