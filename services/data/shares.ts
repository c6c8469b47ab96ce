/**
 * Who holds what. A caller (an address) has sub-shares, one for each connection and client name. A sub-share "reads" once one of its batches was
 * taken completely, and as long as none of its streams has stopped taking bytes.
 */
import type { Outgoing } from '#rpc/handlers.js';

/** Whom a call is charged to. */
export interface Share {
  readonly caller: string;
  /** Identifies the sub-share among those of all callers. */
  readonly key: string;
}

/** The resources that one call needs. */
export interface Needs {
  /** Memory in bytes, held until the batch is sent. */
  readonly bytes: number;
  /** The work that its share is charged with, in a unit that is the same for all calls. */
  readonly cost: number;
}

export interface Waiter {
  readonly needs: Needs;
  /** When it began to wait: milliseconds of the clock of the admission. */
  readonly since: number;
  readonly enter: (call: HeldCall) => void;
  readonly refuse: (error: Error) => void;
}

/** An admitted call until it gives back what it holds. */
export interface HeldCall {
  readonly share: SubShare;
  readonly needs: Needs;
  /** The stream to which the batch is sent; absent before. */
  outgoing: Outgoing | undefined;
  /** Nothing was taken for UNREAD_MS. */
  stalled: boolean;
  /** Bytes were taken after a pause: a slow reader, and not one that does not read. */
  steady: boolean;
  /** `outgoing.taken` at the last look, if nothing had been taken for a while then. */
  takenBeforePause: number | undefined;
  /** Gives up work that nobody waits for; @returns whether its memory is free now. Absent for calls that somebody waits for. */
  readonly giveUp: (() => boolean) | undefined;
  /** Frees the turn; later calls do nothing. */
  endTurn(): void;
  /** Frees turn and memory; later calls do nothing. */
  release(): void;
}

/** A stream from which nothing was taken for so long counts as not read. */
export const UNREAD_MS = 3000;
/** After this many times its pause, work is risked however little was done for those that read. */
const RISK_AFTER = 10;

/**
 * Limits the work that is risked on shares which perhaps do not read: one batch after `everyMs`, and, while shares of the caller read, after
 * `everyWork` times its work was done for those.
 */
export class Risk {
  #takenAt = Number.NEGATIVE_INFINITY;
  #readSince = 0;

  constructor(private readonly limits: { readonly everyMs: number; readonly everyWork: number }) {}

  /** Work was done for a share that reads. */
  read(cost: number): void {
    this.#readSince += cost;
  }

  take(now: number): void {
    this.#takenAt = now;
    this.#readSince = 0;
  }

  /** @param othersRead whether shares of the caller read at the moment */
  allows(cost: number, now: number, othersRead: () => boolean): boolean {
    const { everyMs, everyWork } = this.limits;
    const since = now - this.#takenAt;
    if (since < everyMs) return false;
    return since >= RISK_AFTER * everyMs || this.#readSince >= everyWork * cost || !othersRead();
  }
}

export class Caller {
  /** Virtual time at which its next call begins. */
  time: number;
  /** Virtual time of the last admitted call among its sub-shares. */
  now = 0;
  held = 0;
  /** Bytes held by its sub-shares that do not read. */
  unread = 0;
  waiting = 0;
  /** Work for shares that have not read before. */
  readonly retries = new Risk({ everyMs: UNREAD_MS, everyWork: 20 });
  /** Work for shares that nobody knows yet: for those that have just come, so that they need not wait for those that came long before them. */
  readonly arrivals = new Risk({ everyMs: UNREAD_MS / 3, everyWork: 10 });
  readonly newcomers = new Risk({ everyMs: UNREAD_MS / 3, everyWork: 40 });
  readonly shares = new Map<string, SubShare>();

  constructor(time: number) {
    this.time = time;
  }
}

export class SubShare {
  /** Virtual time within the caller. */
  time: number;
  held = 0;
  readonly waiting: Waiter[] = [];
  readonly calls = new Set<HeldCall>();
  /** One of its batches was taken completely. */
  #taken = false;
  #reads = false;
  /** One of its streams was ended because its bytes were not taken, and no batch was taken since. */
  failed = false;
  lastActive: number;

  constructor(
    readonly caller: Caller,
    time: number,
    now: number,
  ) {
    this.time = time;
    this.lastActive = now;
  }

  get reads(): boolean {
    return this.#reads;
  }

  get active(): boolean {
    return this.held > 0 || this.waiting.length > 0;
  }

  /** For a call that is admitted. */
  add(call: HeldCall): void {
    this.calls.add(call);
    this.#hold(call.needs.bytes);
  }

  remove(call: HeldCall): void {
    this.calls.delete(call);
    this.#hold(-call.needs.bytes);
    if (call.stalled) this.update();
  }

  /** A batch was taken completely. */
  taken(): void {
    this.#taken = true;
    this.failed = false;
    this.update();
  }

  /** Decides again whether it reads. */
  update(): void {
    let reads = this.#taken;
    for (const { stalled } of this.calls) if (stalled) reads = false;
    if (reads === this.#reads) return;
    this.#reads = reads;
    this.caller.unread += reads ? -this.held : this.held;
  }

  #hold(bytes: number): void {
    this.held += bytes;
    this.caller.held += bytes;
    if (!this.#reads) this.caller.unread += bytes;
  }
}

/** The entry with the least virtual time among those that pass; the first of equal ones. Times before `now` count as `now`. */
export function leastTime<T extends { readonly time: number }>(
  entries: Iterable<T>,
  now: number,
  passes: (entry: T) => boolean,
): T | undefined {
  let best: T | undefined;
  for (const entry of entries) {
    if (best && Math.max(entry.time, now) >= Math.max(best.time, now)) continue;
    if (passes(entry)) best = entry;
  }
  return best;
}
