/** The memory of the batches that are made or sent: how much of it a caller may hold, and which of it is held for streams that nobody reads. */
import { type Caller, type HeldCall, type Needs, type SubShare, UNREAD_MS } from './shares.js';

export interface MemoryLimits {
  /** Memory for the batches of all callers in bytes. */
  readonly maxBytes: number;
  /** Memory for the batches of one sub-share in bytes. A sub-share that has no batch may exceed it by one batch. */
  readonly maxClientBytes: number;
}

/** Of what others leave, the part that one caller may hold. */
const CALLER_PART = 3 / 4;

export class HeldMemory {
  readonly #calls = new Set<HeldCall>();
  #bytes = 0;

  constructor(private readonly limits: MemoryLimits) {}

  get bytes(): number {
    return this.#bytes;
  }

  add(call: HeldCall): void {
    this.#bytes += call.needs.bytes;
    this.#calls.add(call);
    call.share.add(call);
  }

  remove(call: HeldCall): void {
    this.#calls.delete(call);
    call.share.remove(call);
    this.#bytes -= call.needs.bytes;
  }

  /** Looks which streams are read. */
  look(): void {
    for (const call of this.#calls) {
      const { outgoing } = call;
      if (!outgoing) continue;
      if (call.takenBeforePause !== undefined && outgoing.taken > call.takenBeforePause) call.steady = true;
      call.takenBeforePause = outgoing.idleMs >= UNREAD_MS / 3 ? outgoing.taken : undefined;
      const stalled = outgoing.idleMs >= UNREAD_MS;
      if (stalled === call.stalled) continue;
      call.stalled = stalled;
      call.share.update();
    }
  }

  /** Bytes that a caller may hold: its part of what other callers leave. */
  limitOf(caller: Caller): number {
    return CALLER_PART * (this.limits.maxBytes - (this.#bytes - caller.held));
  }

  fits(share: SubShare, needs: Needs): boolean {
    return this.fitsAll(needs) && this.fitsCaller(share.caller, needs);
  }

  fitsAll({ bytes }: Needs): boolean {
    return this.#bytes + bytes <= this.limits.maxBytes;
  }

  fitsCaller(caller: Caller, { bytes }: Needs): boolean {
    return caller.held === 0 || caller.held + bytes <= this.limitOf(caller);
  }

  fitsShare({ held }: SubShare, { bytes }: Needs): boolean {
    return held === 0 || held + bytes <= this.limits.maxClientBytes;
  }

  /** Bytes held for streams from which nothing is taken: of one caller, or of all. */
  stalledBytes(of: Caller | undefined): number {
    let sum = 0;
    for (const { stalled, share, needs } of this.#calls) if (stalled && (of ?? share.caller) === share.caller) sum += needs.bytes;
    return sum;
  }

  /** Bytes of batches that nobody waits for. */
  aheadBytes(matches: (share: SubShare) => boolean): number {
    let sum = 0;
    for (const { giveUp, share, needs } of this.#calls) if (giveUp && matches(share)) sum += needs.bytes;
    return sum;
  }

  /** Gives up one batch that nobody waits for. @returns whether its memory is free now */
  giveUpAhead(matches: (share: SubShare) => boolean): boolean {
    for (const { giveUp, share } of this.#calls) if (giveUp && matches(share) && giveUp()) return true;
    return false;
  }

  /** The call whose stream has waited longest for its reader: of one caller, or of the one with the most unread bytes. */
  longestUnread(of: Caller | undefined): HeldCall | undefined {
    const candidates = [...this.#calls].filter(({ stalled, steady }) => stalled && !steady);
    const caller = of ?? longest(new Set(candidates.map(({ share }) => share.caller)), ({ unread }) => unread);
    return longest(candidates, ({ share, outgoing }) => (share.caller === caller ? (outgoing?.idleMs ?? 0) : 0));
  }
}

/** The entry with the greatest length above 0; the first of equal ones. */
export function longest<T>(entries: Iterable<T>, lengthOf: (entry: T) => number): T | undefined {
  let best: T | undefined;
  for (const entry of entries) if (lengthOf(entry) > (best === undefined ? 0 : lengthOf(best))) best = entry;
  return best;
}
