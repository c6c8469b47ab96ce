/**
 * Decides which call may prepare a batch next and how much memory it may hold. Calls are charged to their caller and, within it, to a sub-share.
 * Among callers, and among the sub-shares of a caller, the one that has received the least goes first (start-time fair queueing: Goyal, Vin and Cheng
 * 1996), so equal shares do not depend on the number of calls. The calls of a sub-share are admitted in order.
 *
 * The memory of a batch is held until it is sent. A caller may hold three quarters of what other callers leave, so that some is always free for another
 * one (dynamic thresholds: Choudhury and Hahne 1998). Half of that is open to sub-shares that are not known to read, so streams whose bytes nobody takes
 * do not block those that read. When newcomers wait for that half, a stream from which nothing was taken for a while is ended for them.
 */
import { NeverFits, ResourceExhausted } from '#errors/errors.js';
import type { Outgoing } from '#rpc/handlers.js';
import { HeldMemory, longest, type MemoryLimits } from './held-memory.js';
import { bounds } from './metrics.js';
import { Caller, type HeldCall, leastTime, type Needs, type Risk, type Share, SubShare, UNREAD_MS } from './shares.js';

/** A limit was reached. `bound` names it, and is the label of the metric that counts refusals. */
export class BoundReached extends ResourceExhausted {
  constructor(
    readonly bound: keyof typeof bounds,
    detail: string,
    limit: string,
    retryAfterMs: number,
  ) {
    super(`${bounds[bound]}: ${detail}`, limit, { retryAfterMs });
  }
}

export interface AdmissionOptions extends MemoryLimits {
  /** Number of batches that are prepared at the same time. */
  readonly turns: number;
  /** Numbers of calls that may wait: of all callers, and of one sub-share. */
  readonly maxWaiting: number;
  readonly maxClientWaiting: number;
  /** Called when a turn is free and no call waits for it. */
  readonly onIdle?: () => void;
  /** Milliseconds; default performance.now. */
  readonly clock?: () => number;
}

/** The resources that one call holds. All functions may be called repeatedly; later calls do nothing. */
export interface Admitted {
  /** Frees the turn when the batch is ready. */
  made(): void;
  /** Says to which stream the batch is sent from now on. */
  sending(outgoing: Outgoing): void;
  /** Says that the batch was taken completely. */
  taken(): void;
  /** Frees the memory and the turn when the batch was sent or is given up. */
  left(): void;
}

/** Of what a caller may hold, the part for sub-shares that are not known to read. */
const UNREAD_PART = 1 / 2;
/** How long sub-shares without calls are remembered, and how many. */
const REMEMBERED_MS = 10 * 60_000;
const MOST_REMEMBERED = 4096;
const RETRY_MS = 1000;

export class Admission {
  readonly #callers = new Map<string, Caller>();
  readonly #memory: HeldMemory;
  readonly #clock: () => number;
  /** Virtual time of the last admitted call. */
  #now = 0;
  #turns = 0;
  #waiting = 0;
  #admitting = false;

  constructor(private readonly options: AdmissionOptions) {
    this.#clock = options.clock ?? (() => performance.now());
    this.#memory = new HeldMemory(options);
  }

  get held(): number {
    return this.#memory.bytes;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Number of sub-shares that hold memory or wait. */
  get clients(): number {
    let active = 0;
    for (const { shares } of this.#callers.values()) for (const share of shares.values()) if (share.active) active++;
    return active;
  }

  /** @throws NeverFits if the memory can never suffice */
  check({ bytes }: Needs): void {
    const { maxBytes } = this.options;
    if (bytes > maxBytes)
      throw new NeverFits('a batch of this plan', `${bytes} bytes of memory in the data service`, `${maxBytes} bytes (--max-bytes)`);
  }

  /**
   * Resolves when it is this call's turn.
   * @throws NeverFits if the memory can never suffice; BoundReached if too many calls wait; the signal's reason
   */
  async enter(to: Share, needs: Needs, signal: AbortSignal): Promise<Admitted> {
    signal.throwIfAborted();
    this.check(needs);
    const { maxWaiting, maxClientWaiting } = this.options;
    const share = this.#share(to);
    return await new Promise((resolve, reject) => {
      const leave = (reason: Error): void => {
        share.waiting.splice(share.waiting.indexOf(waiter), 1);
        this.#count(share, -1);
        signal.removeEventListener('abort', abort);
        reject(reason);
      };
      const abort = (): void => {
        leave(signal.reason as Error);
        this.#admit();
      };
      let entered = false;
      const waiter = {
        needs,
        since: this.#clock(),
        refuse: leave,
        enter: (call: HeldCall) => {
          entered = true;
          signal.removeEventListener('abort', abort);
          resolve(this.#admittedOf(call));
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      share.waiting.push(waiter);
      this.#count(share, 1);
      this.#admit();
      if (entered) return;
      if (share.waiting.length > maxClientWaiting)
        leave(new BoundReached('waiting', 'the queue of one client', `${maxClientWaiting} calls`, RETRY_MS));
      else if (this.#waiting > maxWaiting) this.#dropFromLongest(share);
    });
  }

  /**
   * Admits work that nobody waits for yet, if no call waits, the share has memory left, and half of all memory stays free.
   * @param giveUp is called when memory is short: gives the work up, and returns whether its memory was freed before
   */
  tryEnter(to: Share, needs: Needs, giveUp: () => boolean): Admitted | undefined {
    const share = this.#share(to);
    if (this.#waiting > 0 || this.#turns >= this.options.turns || this.#memory.bytes + needs.bytes > this.options.maxBytes / 2)
      return undefined;
    if (share.held + needs.bytes > this.options.maxClientBytes || !this.#memory.fits(share, needs)) return undefined;
    return this.#admittedOf(this.#take(share, needs, giveUp));
  }

  /** Looks which streams are read. Must be called about twice a second. */
  look(): void {
    this.#memory.look();
    this.#forget(this.#clock());
    this.#admit();
  }

  #share({ caller: name, key }: Share): SubShare {
    let caller = this.#callers.get(name);
    if (!caller) {
      caller = new Caller(this.#now);
      this.#callers.set(name, caller);
    }
    let share = caller.shares.get(key);
    if (!share) {
      share = new SubShare(caller, caller.now, this.#clock());
      caller.shares.set(key, share);
    }
    return share;
  }

  /** Forgets sub-shares without calls: those that were not used for long, and then the oldest. */
  #forget(now: number): void {
    let known = 0;
    for (const { shares } of this.#callers.values()) known += shares.size;
    for (const [name, caller] of this.#callers) {
      for (const [key, share] of caller.shares) {
        if (share.active || (known <= MOST_REMEMBERED && now - share.lastActive < REMEMBERED_MS)) continue;
        caller.shares.delete(key);
        known--;
      }
      if (caller.shares.size === 0) this.#callers.delete(name);
    }
  }

  #count(share: SubShare, by: 1 | -1): void {
    this.#waiting += by;
    share.caller.waiting += by;
    share.lastActive = this.#clock();
  }

  /** Refuses the newest waiting call of the longest queue, or that of `own` if none is longer, so that long queues do not shut others out. */
  #dropFromLongest(own: SubShare): void {
    const caller = longest([own.caller, ...this.#callers.values()], ({ waiting }) => waiting);
    const shares = caller === own.caller ? [own, ...own.caller.shares.values()] : caller?.shares.values();
    const share = longest(shares ?? [], ({ waiting }) => waiting.length);
    share?.waiting.at(-1)?.refuse(new BoundReached('waiting', 'the queue', `${this.options.maxWaiting} calls`, RETRY_MS));
  }

  #admit(): void {
    // Freeing memory below calls this function again.
    if (this.#admitting) return;
    this.#admitting = true;
    try {
      while (this.#turns < this.options.turns && this.#waiting > 0) {
        const share = this.#next() ?? this.#makeRoom();
        if (!share || share === 'wait') break;
        const waiter = share.waiting.shift()!;
        this.#count(share, -1);
        waiter.enter(this.#take(share, waiter.needs, undefined));
      }
    } finally {
      this.#admitting = false;
    }
    if (this.#waiting === 0 && this.#turns < this.options.turns) this.options.onIdle?.();
  }

  /** The share whose first waiting call enters now; `wait` if one must wait and must not be overtaken. */
  #next(): SubShare | 'wait' | undefined {
    const passed = new Set<Caller>();
    for (;;) {
      const caller = leastTime(this.#callers.values(), this.#now, (one) => one.waiting > 0 && !passed.has(one));
      if (!caller) return undefined;
      passed.add(caller);
      const next = this.#nextOf(caller);
      if (next) return next;
    }
  }

  /**
   * A call that waits for memory which others are about to free is not overtaken within its caller, nor by other callers if it waits for theirs;
   * otherwise small batches could block a large one for ever. Calls that wait for memory that nobody reads are overtaken.
   */
  #nextOf(caller: Caller): SubShare | 'wait' | undefined {
    for (const share of caller.shares.values()) this.#giveUpOwnAhead(share);
    const passed = new Set<SubShare>();
    for (;;) {
      const share = leastTime(caller.shares.values(), caller.now, (one) => !passed.has(one) && this.#mayAsk(one));
      if (!share) return undefined;
      passed.add(share);
      const { needs } = share.waiting[0]!;
      while (!this.#memory.fitsAll(needs) && this.#memory.giveUpAhead(() => true));
      if (this.#memory.fits(share, needs)) return share;
      if (this.#memory.fitsCaller(caller, needs)) {
        if (this.#memory.stalledBytes(undefined) + needs.bytes <= this.options.maxBytes) return 'wait';
      } else {
        const stalled = this.#memory.stalledBytes(caller);
        if (stalled === 0 || stalled + needs.bytes <= this.#memory.limitOf(caller)) return undefined;
      }
    }
  }

  /** A caller's batches that nobody waits for give way to its first call where they are what keeps it from the limits of its share or its caller. */
  #giveUpOwnAhead(share: SubShare): void {
    const first = share.waiting[0];
    if (!first) return;
    const { caller } = share;
    const memory = this.#memory;
    const giveUp = (fits: () => boolean, held: number, limit: () => number, matches: (holder: SubShare) => boolean): void => {
      if (fits()) return;
      const left = held - memory.aheadBytes(matches);
      if (left === 0 || left + first.needs.bytes <= limit()) while (!fits() && memory.giveUpAhead(matches));
    };
    giveUp(
      () => memory.fitsShare(share, first.needs),
      share.held,
      () => this.options.maxClientBytes,
      (holder) => holder === share,
    );
    giveUp(
      () => memory.fitsCaller(caller, first.needs),
      caller.held,
      () => memory.limitOf(caller),
      (holder) => holder.caller === caller,
    );
  }

  /** Whether its first call keeps the limits of its own share, and of shares that are not known to read. */
  #mayAsk(share: SubShare): boolean {
    const first = share.waiting[0];
    if (!first) return false;
    const { bytes } = first.needs;
    if (!this.#memory.fitsShare(share, first.needs) || (share.failed && !this.#mayRisk(share.caller.retries, share.caller, first.needs)))
      return false;
    return share.reads || share.caller.unread === 0 || share.caller.unread + bytes <= UNREAD_PART * this.#memory.limitOf(share.caller);
  }

  /** Whether another batch may be made that is perhaps not read: seldom, while shares of the caller read. */
  #mayRisk(risk: Risk, { shares }: Caller, { cost }: Needs): boolean {
    const now = this.#clock();
    return risk.allows(cost, now, () => {
      for (const { reads, active, lastActive } of shares.values()) if (reads && (active || now - lastActive < UNREAD_MS)) return true;
      return false;
    });
  }

  /**
   * Ends streams that nobody reads in favour of a call that waits for their memory: of a share that reads, or of the newest share that holds nothing,
   * but for that only as often as work may be risked. @returns the share, whose first call fits now
   */
  #makeRoom(): SubShare | undefined {
    const now = this.#clock();
    const reading: SubShare[] = [];
    const newcomers: SubShare[] = [];
    for (const { shares } of this.#callers.values())
      for (const share of shares.values()) {
        const first = share.waiting[0];
        if (!first || !this.#memory.fitsShare(share, first.needs)) continue;
        if (share.reads) reading.push(share);
        else if (share.held === 0 && !share.failed) newcomers.push(share);
      }
    reading.sort((a, b) => a.time - b.time);
    for (const share of [...reading, ...newcomers.reverse()]) {
      const { needs, since } = share.waiting[0]!;
      for (let ended = false; ; ended = true) {
        if (ended && this.#mayAsk(share) && this.#memory.fits(share, needs)) return share;
        const own = this.#memory.fitsAll(needs);
        if (this.#memory.giveUpAhead((holder) => !holder.reads && (!own || holder.caller === share.caller))) continue;
        const victim = this.#memory.longestUnread(own ? share.caller : undefined);
        if (!victim) break;
        const { caller } = victim.share;
        if (!share.reads) {
          const risk = now - since < UNREAD_MS ? caller.arrivals : caller.newcomers;
          if (!ended && !this.#mayRisk(risk, caller, needs)) break;
          risk.take(now);
        }
        const error = new BoundReached('unread', 'nothing is taken from this one while others wait', `${UNREAD_MS} ms`, RETRY_MS);
        victim.outgoing?.stop(error);
        victim.release();
      }
    }
    return undefined;
  }

  #take(share: SubShare, needs: Needs, giveUp: (() => boolean) | undefined): HeldCall {
    const { caller } = share;
    const start = Math.max(caller.time, this.#now);
    this.#now = start;
    caller.time = start + needs.cost;
    const own = Math.max(share.time, caller.now);
    caller.now = own;
    share.time = own + needs.cost;
    if (share.reads) for (const risk of [caller.retries, caller.arrivals, caller.newcomers]) risk.read(needs.cost);
    else if (share.failed) caller.retries.take(this.#clock());
    let held = true;
    const call: HeldCall = {
      ...{ share, needs, giveUp, outgoing: undefined, stalled: false, steady: false, takenBeforePause: undefined },
      endTurn: once(() => {
        this.#turns--;
      }),
      release: () => {
        if (!held) return;
        held = false;
        call.endTurn();
        if ((call.outgoing?.idleMs ?? 0) >= UNREAD_MS) {
          share.failed = true;
        }
        this.#memory.remove(call);
      },
    };
    // Counted here and not by the admitted call, so that no other call is admitted before that call runs.
    this.#turns++;
    this.#memory.add(call);
    return call;
  }

  #admittedOf(call: HeldCall): Admitted {
    const { share } = call;
    const then =
      (end: () => void): (() => void) =>
      () => {
        end();
        share.lastActive = this.#clock();
        this.#admit();
      };
    return {
      made: once(then(call.endTurn)),
      sending: (outgoing) => {
        call.outgoing = outgoing;
      },
      taken: once(then(() => share.taken())),
      left: once(then(call.release)),
    };
  }
}

function once(run: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    run();
  };
}
