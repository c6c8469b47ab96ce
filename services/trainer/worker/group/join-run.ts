/**
 * What a worker does that helps another one with its run: it joins the group of the run's leader and carries out orders until it is dismissed. If the leader
 * is lost instead, the members have the state of the run in memory. Each of them claims the run as soon as it knows that the leader is gone; the log decides
 * who has it, that one leads from the state that it has, and the others join it with theirs. A leader that only cannot be reached keeps its run.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { RecentMap } from '#bounds/recent-map.js';
import { CollectivesAbsent, type collectivesAvailable } from '#collectives/index.js';
import { NotFound } from '#errors/errors.js';
import type { ConnectOptions } from '#rpc/client.js';
import { readOffer } from '#storage/lease.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import type { DataAccess } from '#training/prepared-batches.js';
import type { Membership } from '#work/memberships.js';
import type { QueueEntry } from '#work/queue-index.js';
import { heartbeatPrefix, openRunLog, type RunLog } from '../../run/run-log.js';
import { workersOf } from '../../run/run-spec.js';
import type { RunView } from '../../run/run-state.js';
import type { RunPrograms } from '../run-program.js';
import type { GroupMetrics } from './group-metrics.js';
import { Helper } from './helper.js';
import type { Inheritance } from './inheritance.js';
import { type ClaimSeen, leaderState } from './leader-watch.js';
import type { MembershipEnd } from './membership.js';
import type { Shortage } from './shortage.js';

type QueueMembership = Omit<Membership, 'leads'>;

export interface JoinRunOptions {
  readonly store: ObjectStore;
  readonly programs: RunPrograms;
  readonly data: DataAccess;
  /** How it calls the leader. */
  readonly connect: ConnectOptions;
  /** Name of this process, for people. */
  readonly worker: string;
  /** Address of this machine that other workers reach. */
  readonly host: string;
  /** How long the leader may say nothing. */
  readonly silenceMs: number;
  /** Milliseconds that the step under way may take to end when this worker stops. */
  readonly stopStepMs: number;
  /** Time without heartbeats after which others claim a run, in ms. */
  readonly leaseTtlMs: number;
  readonly shortage: Shortage;
  readonly metrics: GroupMetrics;
  readonly logger: Logger;
  readonly available: typeof collectivesAvailable;
  /** Default: Helper.prepare. */
  readonly prepare?: typeof Helper.prepare;
}

/** Where a leader is found. */
interface Leader {
  readonly fence: number;
  readonly address: string;
}

/** Time after which a run that could not be joined is looked at again. It doubles each time, so often at most. */
const lookAgainMs = 10_000;
const mostDoublings = 5;
const remembered = 1024;
/** Time in which a leader that ends its attempt has withdrawn its offer. */
const offerMs = 1000;
/** Attempts in a row to reach a leader that is alive. */
const mostUnreached = 4;
/** Between two looks for a new leader. */
const lookMs = 50;

/** The same leader refuses, or takes, a worker for the same reasons. */
const refusalKey = ({ run, fence }: RunView): string => `${run.uid} ${fence}`;

export class RunJoiner {
  readonly #options: JoinRunOptions;
  /** Runs that could not be joined, by uid and claim, until when they are left alone. */
  readonly #refused = new RecentMap<string, { readonly reason: string; readonly times: number; readonly untilMs: number }>(remembered);
  readonly #inheritances = new Map<string, Inheritance>();

  constructor(options: JoinRunOptions) {
    this.#options = options;
  }

  /** What this process has in memory of a run that it is about to lead, by uid. Whoever takes it disposes of the program. */
  takeInheritance(uid: string): Inheritance | undefined {
    const inheritance = this.#inheritances.get(uid);
    this.#inheritances.delete(uid);
    return inheritance;
  }

  /** Tells whether this worker could help the run's leader, as far as it knows without asking it. */
  mayJoin(view: RunView): boolean {
    return this.#takes(view) && this.#options.available().available;
  }

  /** The same for a run whose log was not read. */
  mightJoin(uid: string): boolean {
    return !this.#options.shortage.isShunned(uid) && this.#options.available().available;
  }

  /**
   * Joins the run if its leader takes more workers. @param claim claims the run at the view's fence and works on it; resolves to false if another worker was
   * faster @returns true when the membership has ended; false if there was none
   */
  async join(entry: QueueEntry, view: RunView, membership: QueueMembership, claim: () => Promise<boolean>): Promise<boolean> {
    const { store, logger, available, prepare = Helper.prepare } = this.#options;
    const { leaving, stopping } = membership;
    if (!this.#takes(view)) return false;
    const key = refusalKey(view);
    const before = this.#refused.get(key);
    // Until it has the state of the run, nothing is lost if it goes where work waits.
    const offer = await readOffer(store, heartbeatPrefix(entry), view.fence, leaving);
    if (offer === undefined || offer.wants < 1) return false;
    let helper: Helper | undefined;
    try {
      const found = available();
      if (!found.available) throw new CollectivesAbsent(found.reason);
      const prepared = await prepare({ ...this.#options, entry, view, membership });
      helper = prepared;
      if (leaving.aborted) return true;
      membership.sparedIf(() => prepared.isSpared);
      await this.#help(prepared, entry, { fence: view.fence, address: offer.address }, stopping, claim);
      // Whom the leader has expelled, it might expel again soon, and every generation costs the others time.
      if (!leaving.aborted) this.#refuse(key, '');
      return true;
    } catch (error) {
      if (stopping.aborted || (helper === undefined && leaving.aborted)) return true;
      const reason = (error as Error).message;
      this.#refuse(key, reason);
      if (reason !== before?.reason)
        logger.warn({ error, run: view.run.name, leader: offer.address }, 'this worker cannot help with a run');
      return false;
    } finally {
      await helper?.close();
    }
  }

  #takes(view: RunView): boolean {
    if (view.run.spec === undefined || workersOf(view.run.spec).max <= 1 || this.#options.shortage.isShunned(view.run.uid)) return false;
    return performance.now() >= (this.#refused.get(refusalKey(view))?.untilMs ?? 0);
  }

  #refuse(key: string, reason: string): void {
    const times = this.#refused.get(key)?.times ?? 0;
    const untilMs = performance.now() + lookAgainMs * 2 ** Math.min(mostDoublings, times);
    this.#refused.set(key, { reason, times: times + 1, untilMs });
  }

  async #help(helper: Helper, entry: QueueEntry, first: Leader, stopping: AbortSignal, claim: () => Promise<boolean>): Promise<void> {
    const { store, logger, shortage } = this.#options;
    const log = openRunLog(store, entry);
    // Only the process's end keeps it from leading the run: the state in its memory may be the only one.
    for (let leader: Leader | undefined = first; leader !== undefined; ) {
      const end = await this.#helpedUntilGone(helper, entry, log, leader, stopping);
      if (end === 'short') shortage.shun(entry.uid);
      if (end !== 'orphaned' || stopping.aborted) return;
      const inheritance = helper.inheritance;
      // Whoever claims the run by a checkpoint that is further repeats less.
      if (inheritance === undefined || inheritance.step < (await newestCheckpoint(log, stopping))) return;
      if (leader.fence === first.fence) {
        logger.warn(
          { run: entry.id, step: inheritance.step },
          'the leader is lost, and this worker tries to lead the run from the state in its memory',
        );
        await helper.rest();
        this.#inheritances.set(entry.uid, inheritance);
        const worked = await claim().catch((error) => {
          logger.warn({ error, run: entry.id }, 'the run could not be claimed');
          return false;
        });
        // It is left if the claim did not come to an attempt.
        if (this.takeInheritance(entry.uid) === undefined) return helper.handOver();
        if (worked) return;
      }
      leader = await this.#leaderAfter(entry, log, leader.fence, stopping);
    }
  }

  /**
   * Only the connection may have been lost; a leader that is there takes its member back. Meanwhile it is watched whether the leader is gone.
   * @returns `dismissed` also if the leader is alive and cannot be reached for long: then others may have its place
   */
  async #helpedUntilGone(helper: Helper, entry: QueueEntry, log: RunLog, leader: Leader, stopping: AbortSignal): Promise<MembershipEnd> {
    const { store, leaseTtlMs, logger } = this.#options;
    let end = await this.#helped(helper, entry, leader, stopping);
    for (let unreached = 0; end === 'orphaned' && !stopping.aborted && unreached < mostUnreached; ) {
      const over = new AbortController();
      const signal = AbortSignal.any([over.signal, stopping]);
      const claim = async (looking: AbortSignal): Promise<ClaimSeen | undefined> => {
        const view = await log.refresh(looking);
        return view && { fence: view.fence, sequence: Number(view.run.logSequence) };
      };
      const watch = { store, heartbeatPrefix: heartbeatPrefix(entry), ...leader, claim, ttlMs: leaseTtlMs, signal };
      const watching = leaderState(watch).catch(() => undefined);
      try {
        const joined = helper.memberships;
        end = await this.#helped(helper, entry, leader, stopping);
        if (end !== 'orphaned' || stopping.aborted) continue;
        if (helper.memberships > joined) unreached = 0;
        else if ((await watching) !== 'alive') return 'orphaned';
        else
          logger.warn(
            { run: entry.id, leader: leader.address, tries: ++unreached },
            'the leader is alive, but cannot be reached from here',
          );
      } finally {
        over.abort();
      }
    }
    if (end === 'gone') return 'orphaned';
    return end === 'orphaned' ? 'dismissed' : end;
  }

  /**
   * Whoever answers that it does not lead the run has ended its attempt, and then it does not offer the run any more; or it is the successor, at the same
   * address, of a process that was killed, so that the leader is gone. That ends nothing that this worker has in memory.
   */
  async #helped(helper: Helper, entry: QueueEntry, { fence, address }: Leader, stopping: AbortSignal): Promise<MembershipEnd | 'gone'> {
    try {
      return await helper.help({ fence, address });
    } catch (error) {
      if (!(error instanceof NotFound) || helper.inheritance === undefined) throw error;
      await delay(offerMs, undefined, { signal: stopping });
      const offer = await readOffer(this.#options.store, heartbeatPrefix(entry), fence, stopping);
      if (offer?.address !== address) throw error;
      return 'gone';
    }
  }

  /** The leader of a later claim that takes more workers; undefined if there is none for a while. */
  async #leaderAfter(entry: QueueEntry, log: RunLog, fence: number, stopping: AbortSignal): Promise<Leader | undefined> {
    const { store, leaseTtlMs } = this.#options;
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(2 * leaseTtlMs)]);
    try {
      for (;;) {
        const view = await log.refresh(signal);
        if (view === undefined) return undefined;
        const offer = view.fence > fence ? await readOffer(store, heartbeatPrefix(entry), view.fence, signal) : undefined;
        if (offer !== undefined && offer.wants > 0) return { fence: view.fence, address: offer.address };
        await delay(lookMs, undefined, { signal });
      }
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    }
  }
}

/** Its step, as far as the log can be read; otherwise -1. */
async function newestCheckpoint(log: RunLog, signal: AbortSignal): Promise<number> {
  const view = await log.refresh(signal).catch(() => undefined);
  return view?.checkpoints.find(({ damaged }) => !damaged)?.step ?? -1;
}
