/**
 * Addresses that a store may not have, whatever its name says: those of the machine's surroundings that answer everybody with credentials (metadata
 * services), and those that mean no machine. A name is looked up once for a connection, and the connection is made to the address that was checked, so
 * that a name that changes its address meanwhile leads nowhere else.
 */
import { type LookupAddress, type LookupAllOptions, lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

const forbidden = new BlockList();
// "This network", link-local with the metadata of AWS, Google, Azure and others; groups; broadcast; the metadata of Alibaba and of Oracle.
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 4],
  ['255.255.255.255', 32],
  ['100.100.100.200', 32],
  ['192.0.0.192', 32],
] as const)
  forbidden.addSubnet(network, bits, 'ipv4');
// No address; link-local; groups; the metadata of AWS, which has a private address, and of Google.
for (const [network, bits] of [
  ['::', 128],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
  ['fd00:ec2::', 32],
  ['fd20:ce::254', 128],
] as const)
  forbidden.addSubnet(network, bits, 'ipv6');

/** Whether a connection to an address may be made; false for anything that is no address. */
export function isReachable(address: string): boolean {
  const bare = address.replace(/%.*$/, '');
  const family = isIP(bare);
  if (family === 0) return false;
  if (family === 4) return !forbidden.check(bare, 'ipv4');
  const inner = ipv4Within(bare);
  return !forbidden.check(bare, 'ipv6') && (inner === undefined || !forbidden.check(inner, 'ipv4'));
}

/** The IPv4 address that an IPv6 address stands for: mapped (::ffff:0:0/96), compatible (::/96), translated (64:ff9b::/96) or 6to4 (2002::/16). */
function ipv4Within(address: string): string | undefined {
  const groups = groupsOf(address);
  const [first, second] = groups;
  const zero = (from: number, to: number): boolean => groups.slice(from, to).every((group) => group === 0);
  if (first === 0x2002) return dotted(groups[1]!, groups[2]!);
  const translated = first === 0x64 && second === 0xff9b && zero(2, 6);
  if (translated || (zero(0, 5) && (groups[5] === 0xffff || (groups[5] === 0 && groups[6] !== 0)))) return dotted(groups[6]!, groups[7]!);
  return undefined;
}

const dotted = (high: number, low: number): string => [high >> 8, high & 255, low >> 8, low & 255].join('.');

/** The eight groups of a valid IPv6 address. A URL writes all of its forms in one way. */
function groupsOf(address: string): number[] {
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const numbers = (text: string | undefined): number[] =>
    text === undefined || text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
  const [before, after] = [numbers(head), numbers(tail)];
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after];
}

/** No address of a name may be reached. */
class UnreachableAddress extends Error {
  override readonly name = 'UnreachableAddress';
  constructor(host: string, addresses: readonly string[]) {
    super(`${host} has the address ${addresses.join(', ')}, which no store may have`);
  }
}

export type LookUpAll = (
  host: string,
  options: LookupAllOptions,
  done: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** A `lookup` for sockets that only gives addresses that may be reached. @param lookUp default: the system's */
export function checkedLookup(lookUp: LookUpAll = systemLookup): LookupFunction {
  return (host, options, done) => {
    lookUp(host, { ...options, all: true }, (error, found) => {
      if (error) return done(error, '', 0);
      const addresses = found.filter(({ address }) => isReachable(address));
      const [first] = addresses;
      if (first === undefined)
        return done(
          new UnreachableAddress(
            host,
            found.map(({ address }) => address),
          ),
          '',
          0,
        );
      if (options.all) done(null, addresses);
      else done(null, first.address, first.family);
    });
  };
}
