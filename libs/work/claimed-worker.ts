/**
 * The life of an attempt, for any work that is described by a folded log: claims an entry at the fence that was seen, keeps the heartbeat, runs the
 * attempt, records and counts its end, and releases what it held.
 */

import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { orAborted } from '#bounds/or-aborted.js';
import { RecentMap } from '#bounds/recent-map.js';
import { readOffer } from '#storage/lease.js';
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import type { SpanContext } from '#telemetry/tracing.js';
import { type AttemptEnds, type AttemptOutcome, runToEnd } from './attempt-end.js';
import { AttemptTrace } from './attempt-trace.js';
import { ClaimHints } from './claim-hints.js';
import { Claimant, type Found } from './claimant.js';
import { ClaimedLog, type Standing } from './claimed-log.js';
import type { ProjectShares } from './fair-share.js';
import type { FoldedLog } from './folded-log.js';
import { Incarnations } from './incarnations.js';
import { instanceOf, newOwner } from './instance.js';
import type { Membership } from './memberships.js';
import type { Place } from './queue-hints.js';
import type { QueueEntry, QueueIndex } from './queue-index.js';
import { type Wish, wantedOf, wishOf } from './wanted-of.js';

/** What an attempt works with. */
export interface Attempt<E, V> extends QueueEntry {
  readonly claimed: ClaimedLog<E, V>;
  readonly logger: Logger;
  /** The span of the attempt. What it does by itself, such as its heartbeats, is not recorded; for what should be, it is the parent. */
  readonly span: SpanContext;
  /** Aborts when the process stops: then the work must be returned to the queue. */
  readonly stopping: AbortSignal;
}

export interface ClaimedWorkerOptions<E, V extends { readonly owner: string }, O extends AttemptOutcome>
  extends Omit<AttemptEnds<E, V, O>, 'maxAttempts'> {
  /** Singular noun for logs: `run`, `evaluation`. */
  readonly kind: string;
  readonly queue: QueueIndex;
  readonly store: ObjectStore;
  readonly config: {
    /** Number of attempts at the same time. */
    readonly workers: number;
    readonly pollMs: number;
    readonly leaseTtlMs: number;
    readonly maxAttempts: number;
    readonly backoffMs: number;
    /** Name of this process in its claims; default: its host and process id. */
    readonly instance?: string;
    /** Names of processes that are known to have ended; default none. */
    readonly succeeds?: readonly string[];
    /** Seconds without work after which `onIdle` is called; 0 or absent: never. */
    readonly exitWhenIdle?: number;
  };
  readonly onIdle?: () => void;
  /** Weights and limits of projects; absent: equal shares, and no limits. */
  readonly shares?: ProjectShares | undefined;
  readonly logger: Logger;
  readonly openLog: (entry: QueueEntry) => FoldedLog<E, V>;
  /** Resource name of the work. */
  readonly name: (entry: QueueEntry) => string;
  readonly heartbeatPrefix: (entry: QueueEntry) => string;
  readonly standing: (view: V) => Standing;
  /** Where the work stands in the queue; the same for all views of it. */
  readonly place: (view: V) => Place;
  /**
   * Called before work is claimed that could be: if false, other workers may have it until the next look. If it rejects or takes longer than
   * `mayClaimMs`, this is logged, and it is called again at the next look. Absent: everything may be claimed.
   */
  readonly mayClaim?: (entry: QueueEntry, view: V, signal: AbortSignal) => Promise<boolean>;
  /** How long `mayClaim` may delay the look at the rest of the queue, in ms; default 10 seconds. */
  readonly mayClaimMs?: number;
  /** Time in ms after which a store has surely finished, or dropped, a write whose caller no longer waits for it; default 5 seconds. */
  readonly lateWriteMs?: number;
  /** The span of the call that asked for the work, whose trace its attempts go on with; undefined: each begins one. */
  readonly traceOf?: (view: V) => SpanContext | undefined;
  /** The record that claims the work for `worker`. `succeeded`: the former owner, if it is known to have ended; otherwise empty. */
  readonly claim: (view: V, worker: string, succeeded: string) => E;
  /** Runs one attempt to its outcome. What it resolves to or throws is recorded as its end. */
  readonly attempt: (attempt: Attempt<E, V>) => Promise<O>;
  /**
   * Called for work whose owner has announced that more may join, while a slot is free and nothing that comes before it can be claimed: helps that owner
   * until `leaving` aborts or there is nothing to help with any more. Resolves to false if the owner wants no help. Absent: owners work alone.
   * @param claim claims the work at once, if it still has the claim of the view, and works on it to its end; resolves to false if another was faster
   */
  readonly join?: (entry: QueueEntry, view: V, membership: Omit<Membership, 'leads'>, claim: () => Promise<boolean>) => Promise<boolean>;
  /**
   * Called before this worker leaves other work, or passes other work by, for work whose owner waits for members: whether `join` has a prospect. Absent: it
   * always has.
   */
  readonly mayJoin?: (view: V) => boolean;
  /** Called before that: whether `join` might have a prospect, as far as is known without reading the log. Absent: always. */
  readonly mightJoin?: (entry: QueueEntry) => boolean;
  /** Called after the claim has ended for any reason. */
  readonly release?: (entry: QueueEntry, view: V) => Promise<void>;
  /** Called with the end of every attempt (see runToEnd); `unknown` if it could not be recorded. */
  readonly onOutcome: (outcome: string) => void;
  readonly onDepth: (waiting: number) => void;
  readonly onActive: (active: number) => void;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
}

/** Longest time for removing what was written after the work was deleted. */
const sweepMs = 30_000;
/** Number of logs of queued work that are kept, so that only new records must be read. */
const keptLogs = 1024;

export class ClaimedWorker<E, V extends { readonly owner: string }, O extends AttemptOutcome> {
  readonly #options: ClaimedWorkerOptions<E, V, O>;
  readonly #claimant: Claimant;
  readonly #incarnations: Incarnations;
  readonly #logs = new RecentMap<string, FoldedLog<E, V>>(keptLogs);
  readonly #lateSweeps = new Set<Promise<void>>();
  readonly #stopped = new AbortController();

  constructor(options: ClaimedWorkerOptions<E, V, O>) {
    this.#options = options;
    const { queue, store, config, shares, logger, heartbeatPrefix, onDepth, onActive, random, join, mightJoin } = options;
    // Every attempt that has ended lately waits with it.
    setMaxListeners(0, this.#stopped.signal);
    this.#incarnations = new Incarnations(store);
    this.#claimant = new Claimant({
      queue,
      store,
      ttlMs: config.leaseTtlMs,
      pollMs: config.pollMs,
      slots: config.workers,
      shares,
      backOff: { firstMs: config.backoffMs, maxAttempts: config.maxAttempts },
      logger,
      standing: (entry, signal) => this.#standing(entry, signal),
      heartbeatPrefix,
      mayClaim: (entry, signal) => this.#mayClaim(entry, signal),
      workersOf: (entry, signal) => this.#workersOf(entry, signal),
      work: (entry, seenFence, stopping) => this.#work(entry, seenFence, stopping),
      ...(join && {
        join: (entry, membership) => this.#join(entry, join, membership),
        wishOf: (entry, signal) => this.#wishOf(entry, signal),
        ...(mightJoin && { mightHelp: mightJoin }),
      }),
      knowsEnded: (config.succeeds?.length ?? 0) > 0,
      ...(random && { random }),
      onDepth,
      onActive,
      idleMs: config.exitWhenIdle ? 1000 * config.exitWhenIdle : undefined,
      onIdle: () => {
        options.logger.info({ seconds: config.exitWhenIdle }, 'no work was claimed for so long, so this worker ends');
        options.onIdle?.();
      },
    });
  }

  start(): void {
    this.#claimant.start();
  }

  /** Asks every attempt to return its work to the queue, and resolves when all have done so. */
  async stop(): Promise<void> {
    await this.#claimant.stop();
    this.#stopped.abort();
    await Promise.all(this.#lateSweeps);
  }

  async #standing(entry: QueueEntry, signal: AbortSignal): Promise<Found | undefined> {
    const log = this.#log(entry);
    const deleted = async (): Promise<boolean> => !(await this.#isCurrent(entry, signal));
    const over = { state: 'over', fence: 0, fruitlessAttempts: 0, sequence: 0 } as const;
    const view = await log.refresh(signal).catch(async (error) => {
      // A log that is being deleted looks damaged.
      if (await deleted()) return undefined;
      throw error;
    });
    if (view !== undefined) {
      const standing = this.#options.standing(view);
      const ownerEnded = this.#ownerEnded(standing, view.owner);
      return { ...standing, sequence: log.sequence, ownerEnded, place: this.#options.place(view) };
    }
    return (await deleted()) ? over : undefined;
  }

  #isCurrent(entry: QueueEntry, signal: AbortSignal): Promise<boolean> {
    return this.#incarnations.isCurrent(this.#options.name(entry), entry.uid, signal);
  }

  async #mayClaim(entry: QueueEntry, stopping: AbortSignal): Promise<boolean> {
    const { mayClaim, mayClaimMs = 10_000 } = this.#options;
    const { view } = this.#log(entry);
    if (mayClaim === undefined || view === undefined) return true;
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(mayClaimMs)]);
    return await orAborted(mayClaim(entry, view, signal), signal);
  }

  /** Those that have joined are in what the owner tells with its signs of life. Work that cannot be read has one worker: other work need not wait for it. */
  async #workersOf(entry: QueueEntry, signal: AbortSignal): Promise<number> {
    const { join, store, standing, heartbeatPrefix, logger } = this.#options;
    if (join === undefined) return 1;
    try {
      const view = await this.#log(entry).refresh(signal);
      const offer = view && (await readOffer(store, heartbeatPrefix(entry), standing(view).fence, signal));
      return Math.max(1, offer?.members ?? 1);
    } catch (error) {
      if (signal.aborted || error instanceof StoreUnavailable) throw error;
      logger.debug({ error, ...entry }, 'the number of its workers could not be read');
      return 1;
    }
  }

  async #wishOf(entry: QueueEntry, signal: AbortSignal): Promise<Wish> {
    const { store, standing, heartbeatPrefix, mayJoin } = this.#options;
    const view = await this.#log(entry).refresh(signal);
    if (view === undefined || !(mayJoin?.(view) ?? true)) return 'none';
    const wanted = await wantedOf(standing(view), { store, heartbeatPrefix: heartbeatPrefix(entry) }, signal);
    return wanted === 'claim' ? 'none' : wanted;
  }

  async #join(
    entry: QueueEntry,
    join: NonNullable<ClaimedWorkerOptions<E, V, O>['join']>,
    { leads, ...membership }: Membership,
  ): Promise<boolean> {
    const log = this.#log(entry);
    const view = await log.refresh(membership.leaving).catch((error) => {
      this.#options.logger.debug({ error, ...entry }, 'work that wants members could not be read');
      return undefined;
    });
    if (view === undefined) return false;
    const { state, fence } = this.#options.standing(view);
    if (state !== 'owned') return false;
    return await join(entry, view, membership, () => leads((stopping) => this.#work(entry, fence, stopping)));
  }

  async #work(entry: QueueEntry, seenFence: number, stopping: AbortSignal): Promise<boolean> {
    const logger = this.#options.logger.child({ project: entry.project, [this.#options.kind]: entry.id });
    // After an error, the claim may have been written all the same.
    let hasWritten = true;
    try {
      hasWritten = await this.#claimAndWork(entry, seenFence, logger, stopping);
      return hasWritten;
    } finally {
      if (hasWritten) await this.#sweepIfDeleted(entry, logger);
    }
  }

  /** @returns false if another worker was faster */
  async #claimAndWork(entry: QueueEntry, seenFence: number, given: Logger, stopping: AbortSignal): Promise<boolean> {
    const { kind, queue, store, config, standing, place, claim, attempt, traceOf, release, onOutcome, name, heartbeatPrefix } =
      this.#options;
    const ends = { ...this.#options, maxAttempts: config.maxAttempts };
    const log = this.#log(entry);
    const trace = new AttemptTrace(kind, entry, log.view && traceOf?.(log.view));
    const logger = given.child(trace.ids);
    this.#logs.delete(keyOf(entry));
    const owner = newOwner(config.instance ?? '');
    const unclaimed = (view: V): boolean => standing(view).state !== 'over' && standing(view).fence === seenFence;
    const succeeded = (view: V): string => (this.#ownerEnded(standing(view), view.owner) ? view.owner : '');
    const view = await trace.claims(() => log.append((now) => (now && unclaimed(now) ? claim(now, owner, succeeded(now)) : undefined)));
    if (view?.owner !== owner) return false;
    const { fence } = standing(view);
    const hints = ClaimHints.start({
      ...{ queue, entry, fence, place: place(view), intervalMs: config.leaseTtlMs / 3 },
      onError: (error) => logger.debug({ error }, 'a hint in the queue could not be written'),
    });
    const claimed = await ClaimedLog.start({
      work: name(entry),
      uid: entry.uid,
      incarnations: this.#incarnations,
      log,
      fence,
      standing,
      store,
      heartbeatPrefix: heartbeatPrefix(entry),
      owner,
      ttlMs: config.leaseTtlMs,
      pollMs: config.pollMs,
      onHeartbeatLost: (error) => logger.warn({ error }, `no heartbeat could be written; others may take the ${kind} over`),
      onOffer: (offer) => void hints.wantMembers(wishOf(offer)),
    }).catch(async (error) => {
      await hints.stop();
      throw error;
    });
    try {
      const outcome = await trace.runs((span) =>
        runToEnd(claimed, logger, ends, () => trace.fails(attempt({ ...entry, claimed, logger, span, stopping }))),
      );
      onOutcome(outcome);
      logger.info({ outcome }, 'the attempt ended');
    } catch (error) {
      // Only the log can fail here. Other workers see work without heartbeats and take it over.
      onOutcome('unknown');
      logger.error({ error }, 'the end of the attempt could not be written');
    } finally {
      await Promise.all([claimed.stop(), hints.stop()]);
      await hints.leave(standing(claimed.view), async (signal) => {
        const now = await log.refresh(signal);
        return now && standing(now);
      });
      await release?.(entry, claimed.view);
    }
    return true;
  }

  /**
   * Removes what this worker wrote after its work was deleted, however it noticed: at once, and what arrives late a while later, unless the worker
   * stops. Work that has only ended by now may be deleted before the last write arrives, so it is looked at again, too. What stays behind goes when
   * the name is used again.
   */
  async #sweepIfDeleted(entry: QueueEntry, logger: Logger): Promise<void> {
    const sweep = async (): Promise<void> => {
      const signal = AbortSignal.timeout(sweepMs);
      try {
        if (await this.#isCurrent(entry, signal)) return;
        // A sign of life may have come later than the deletion.
        await this.#options.queue.remove(entry, signal);
        await this.#incarnations.sweep(this.#options.name(entry), signal);
      } catch (error) {
        logger.warn({ error }, 'objects of deleted work could not be removed');
      }
    };
    await sweep();
    const later = delay(this.#options.lateWriteMs ?? 5000, undefined, { signal: this.#stopped.signal })
      .then(sweep, () => undefined)
      .then(() => void this.#lateSweeps.delete(later));
    this.#lateSweeps.add(later);
  }

  #ownerEnded({ state }: Standing, owner: string): boolean {
    return state === 'owned' && (this.#options.config.succeeds?.includes(instanceOf(owner)) ?? false);
  }

  #log(entry: QueueEntry): FoldedLog<E, V> {
    return this.#logs.getOrMake(keyOf(entry), () => this.#options.openLog(entry));
  }
}

const keyOf = ({ uid }: QueueEntry): string => uid;
