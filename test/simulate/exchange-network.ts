/**
 * How long an exchange takes on a network, in virtual time: executes the programs that members really execute (libs/collectives/exchange-program.ts) on a
 * model of their machines. Each member has one full-duplex connection to a network that is never the bottleneck; one transfer at a time goes out of it, and
 * one comes in.
 */
import { exchangeProgram } from '#collectives/exchange-program.js';
import type { Instruction } from '#collectives/mesh-program.js';
import type { ExchangePlan } from '#collectives/plan.js';

export interface Network {
  /** Bytes that a member sends, and at the same time receives, in a second. */
  readonly bytesPerSecond: number;
  /** Seconds from one member to another. */
  readonly latency: number;
  /** Seconds of a member's processor for each transfer, on either side. */
  readonly perTransfer: number;
  /** Sums of floats that a member computes in a second. */
  readonly addsPerSecond: number;
}

interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  /** When each side has begun it. */
  sent: number;
  expected: number;
  ended: number;
}

interface Member {
  readonly instructions: readonly Instruction[];
  readonly transfers: Transfer[];
  next: number;
  now: number;
  /** When its connection is free again. */
  outgoing: number;
  incoming: number;
}

/** Seconds until the last member has the sum, if all begin at once. */
export function exchangeSeconds(plan: ExchangePlan, network: Network): number {
  const members: Member[] = plan.held.map((_, rank) => ({
    instructions: exchangeProgram(rank, plan).instructions,
    ...{ transfers: [], next: 0, now: 0, outgoing: 0, incoming: 0 },
  }));
  const meeting = new Map<string, { sent: Transfer[]; expected: Transfer[] }>();
  const ready: Transfer[] = [];

  const begin = (rank: number, one: Instruction & { kind: 'send' | 'receive' }, now: number): Transfer => {
    const [from, to] = one.kind === 'send' ? [rank, one.peer] : [one.peer, rank];
    const key = `${from} ${to} ${one.tag} ${one.count}`;
    const both = meeting.get(key) ?? { sent: [], expected: [] };
    meeting.set(key, both);
    const [mine, theirs] = one.kind === 'send' ? [both.sent, both.expected] : [both.expected, both.sent];
    const met = theirs.shift();
    const transfer = met ?? { from, to, bytes: 4 * one.count, sent: 0, expected: 0, ended: Number.POSITIVE_INFINITY };
    if (one.kind === 'send') transfer.sent = now;
    else transfer.expected = now;
    if (met === undefined) mine.push(transfer);
    else ready.push(transfer);
    return transfer;
  };
  /** Goes on until the member waits for a transfer whose end is not known yet. */
  const go = (member: Member, rank: number): void => {
    for (let one = member.instructions[member.next]; one !== undefined; one = member.instructions[member.next]) {
      if (one.kind === 'wait') {
        const { ended } = member.transfers[one.transfer] as Transfer;
        if (ended === Number.POSITIVE_INFINITY) return;
        member.now = Math.max(member.now, ended);
      } else if (one.kind === 'add' || one.kind === 'copy') member.now += one.count / network.addsPerSecond;
      else {
        member.now += network.perTransfer;
        member.transfers.push(begin(rank, one, member.now));
      }
      member.next++;
    }
  };
  /** A receiver tells the sender that it expects a transfer, which then takes its turn on both connections. */
  const startOf = ({ from, to, sent, expected }: Transfer) =>
    Math.max(sent, expected + network.latency, (members[from] as Member).outgoing, (members[to] as Member).incoming);

  for (;;) {
    members.forEach(go);
    if (ready.length === 0) break;
    // The one that can start first.
    let first = 0;
    for (let index = 1; index < ready.length; index++)
      if (startOf(ready[index] as Transfer) < startOf(ready[first] as Transfer)) first = index;
    const [transfer] = ready.splice(first, 1) as [Transfer];
    const left = startOf(transfer) + transfer.bytes / network.bytesPerSecond;
    (members[transfer.from] as Member).outgoing = left;
    (members[transfer.to] as Member).incoming = left;
    transfer.ended = left + network.latency;
  }
  if (members.some(({ next, instructions }) => next < instructions.length)) throw new Error('members wait for each other for ever');
  return Math.max(...members.flatMap(({ now, transfers }) => [now, ...transfers.map(({ ended }) => ended)]));
}

/** What docs/scaling.md says: both halves of the exchange at the speed of the network, and what is paid for each transfer. */
export function predictedSeconds({ held, elements }: ExchangePlan, network: Network): number {
  const size = held.length;
  if (size === 1) return 0;
  const share = ((size - 1) / size) * 4 * elements;
  const most = Math.max(...held.map((nodes) => nodes.length));
  const all = held.reduce((sum, nodes) => sum + nodes.length, 0);
  // Of the subtrees of all members, those of the others come in.
  const incoming = Math.max(...held.map((nodes) => all - nodes.length)) * ((4 * elements) / size);
  const scatter = Math.max(most * share, incoming);
  const transfers = (all - 1 + 2 * (size - 1) + most * (size - 1)) * Math.max(4, Math.ceil(elements / size / 2 ** 18));
  return (scatter + share) / network.bytesPerSecond + 4 * network.latency + (transfers * network.perTransfer) / 2;
}
