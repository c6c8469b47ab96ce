/**
 * Takes work off the queue while it has free slots: claims work that is waiting or whose owner is gone, and works on at most `slots` entries at a time.
 * Projects get their shares (fair-queue.ts). Work that keeps failing without progress waits longer each time. Where nothing waits, a slot may join the
 * work of another owner, until something waits again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { StoreUnavailable } from '#storage/object-store.js';
import { FairQueue } from './fair-queue.js';
import type { ProjectShares } from './fair-share.js';
import { type Membership, Memberships } from './memberships.js';
import { ProjectLimits } from './project-limits.js';
import { keyOfEntry, type QueueEntry } from './queue-entry.js';
import { comesBefore, type Hint } from './queue-hints.js';
import { type Candidate, QueueSurvey, type QueueSurveyOptions, type Survey } from './queue-survey.js';
import { Readiness, type ReadinessOptions } from './readiness.js';
import type { Wish } from './wanted-of.js';

export type { Found } from './readiness.js';

export interface ClaimantOptions extends ReadinessOptions, Omit<QueueSurveyOptions, 'random' | 'knowsEnded'> {
  /** Number of entries that are worked on at the same time. */
  readonly slots: number;
  /** Weights and limits of projects; absent: equal shares, and no limits. */
  readonly shares?: ProjectShares | undefined;
  /** See QueueSurveyOptions; default false. */
  readonly knowsEnded?: boolean;
  /** From 0 to below 1; default Math.random. */
  readonly random?: () => number;
  /** Called last, for work that could be claimed now. If false, others may have the work until the next look. Absent: everything may be claimed. */
  readonly mayClaim?: (entry: QueueEntry, signal: AbortSignal) => Promise<boolean>;
  /**
   * Claims the entry if it still has the fence that was seen, and works on it until it is done or lost, or `stopping` aborts. Resolves to false if
   * another worker was faster. Must not throw when the work itself fails.
   */
  readonly work: (entry: QueueEntry, seenFence: number, stopping: AbortSignal) => Promise<boolean>;
  /** See ProjectLimitsOptions. */
  readonly workersOf?: (entry: QueueEntry, signal: AbortSignal) => Promise<number>;
  /**
   * Joins the work of another owner, which has asked for members, until that ends or the membership is to be left. Resolves to false if it could not
   * join. Absent: nobody is joined.
   */
  readonly join?: (entry: QueueEntry, membership: Membership) => Promise<boolean>;
  /**
   * Called for work with a hint that its owner waits for members, before this worker leaves or passes by anything for it: what the owner wants by now, or
   * `none` if this worker could not help. Then the work is passed by for a while; for `join`, it is left to its other hint. Absent: always `need`.
   */
  readonly wishOf?: (entry: QueueEntry, signal: AbortSignal) => Promise<Wish>;
  /** Called before `wishOf`: whether this worker might help, as far as it knows without reading anything. Absent: always. */
  readonly mightHelp?: (entry: QueueEntry) => boolean;
  /** Called after every look with the number of waiting entries. */
  readonly onDepth?: (waiting: number) => void;
  readonly onActive?: (active: number) => void;
  /** After so many ms without any work, it takes nothing more, and `onIdle` is called once. Absent: never. */
  readonly idleMs?: number | undefined;
  readonly onIdle?: () => void;
}

/** Number of logs that one look reads of what waits for an owner, and of what waits for members. The others are for the next looks, or for other workers. */
const readsPerLook = 32;
/** For how many polls work that could not be claimed is passed by, while more waits than one look reads. */
const passedPolls = 10;

export class Claimant {
  readonly #options: ClaimantOptions;
  readonly #stopping = new AbortController();
  readonly #active = new Map<string, { readonly entry: QueueEntry; readonly done: Promise<void> }>();
  readonly #fair: FairQueue;
  readonly #limits: ProjectLimits;
  readonly #survey: QueueSurvey;
  readonly #readiness: Readiness;
  readonly #memberships: Memberships;
  readonly #random: () => number;
  /** Work that could not be claimed, until when it is passed by. */
  readonly #passed = new Map<string, number>();
  /** Where the next look begins with what waits for members, if there is more than one look reads. */
  #needsFrom = 0;
  #loop: Promise<void> = Promise.resolve();
  #onFreed: () => void = () => {};
  /** True if another worker was faster to claim what this one chose. */
  #wasLate = false;
  /** When it last had work, or work that may yet become its own. */
  #busyAtMs = performance.now();

  constructor(options: ClaimantOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#fair = new FairQueue(options.shares, keyOfEntry);
    this.#limits = new ProjectLimits({ limitOf: (project) => this.#fair.limitOf(project), workersOf: options.workersOf });
    this.#survey = new QueueSurvey({ ...options, random: this.#random, knowsEnded: options.knowsEnded ?? false });
    this.#readiness = new Readiness(options);
    this.#memberships = new Memberships({ ...options, random: this.#random });
  }

  start(): void {
    this.#busyAtMs = performance.now();
    this.#loop = this.#run();
  }

  /** Takes nothing new, asks all work in progress to stop, and resolves when it has stopped. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the worker is stopping'));
    await this.#loop;
    await Promise.all([...this.#active.values()].map(({ done }) => done));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { logger } = this.#options;
    while (!signal.aborted) {
      // Nobody can take anything while all slots are taken, so nothing is asked for.
      if (this.#isFull && this.#memberships.size === 0) await this.#freed(signal);
      if (signal.aborted) return;
      try {
        const hasProspects = await this.#look(signal);
        if (hasProspects || this.#active.size > 0) this.#busyAtMs = performance.now();
        // Nothing is awaited between this and the end of the loop, so no claim can have begun. A look that fails tells nothing.
        else if (this.#isIdle()) return this.#options.onIdle?.();
      } catch (error) {
        if (!signal.aborted) logger.warn({ error }, 'the queue could not be read');
      }
      if (!this.#isFull || this.#memberships.size > 0) await this.#pause(signal);
    }
  }

  get #isFull(): boolean {
    return this.#active.size >= this.#options.slots;
  }

  #isIdle(): boolean {
    return performance.now() - this.#busyAtMs >= (this.#options.idleMs ?? Number.POSITIVE_INFINITY);
  }

  async #freed(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#onFreed();
    signal.addEventListener('abort', stop, { once: true });
    await new Promise<void>((resolve) => {
      this.#onFreed = resolve;
    });
    signal.removeEventListener('abort', stop);
    // Those who were late for the same work do not choose again at the same time.
    if (this.#wasLate) await delay(this.#options.pollMs * this.#random(), undefined, { signal }).catch(() => {});
    this.#wasLate = false;
  }

  async #pause(signal: AbortSignal): Promise<void> {
    await delay(this.#survey.pace.next(), undefined, { signal }).catch(() => {});
  }

  /** @returns whether there is work that this process may have in a while, which a process that came after it would have to wait for again */
  async #look(signal: AbortSignal): Promise<boolean> {
    this.#limits.looks();
    const survey = await this.#survey.look(new Set(this.#active.keys()), signal);
    if (survey.present !== undefined) this.#keep(survey.present);
    let waiting = survey.claims.filter(({ hint, found }) => hint !== undefined || found?.state === 'waiting').length;
    let [hasProspects, unsure, reads, late, skip] = [survey.doubts, false, 0, 0, 0];
    // True if there may be something that this worker could claim.
    let isLeft = false;
    const isLong = survey.claims.length > readsPerLook;
    // What waits for members comes before what would be claimed after it: whoever goes on claiming would never bring enough of them together.
    const need = await this.#need(survey, signal);
    for (const candidate of survey.claims.length === 0 ? [] : this.#fair.order(survey.claims, survey.owned)) {
      // Entries that were passed by because all slots were taken have had no chance, so a slot that is given back meanwhile is for the next look.
      const ends: boolean = (this.#isFull && this.#memberships.size === 0) || reads === readsPerLook;
      isLeft ||= ends || skip > 0;
      if (ends) break;
      if (need !== undefined && comesBefore(need, candidate)) continue;
      if (candidate.found === undefined) {
        if (skip-- > 0 || (isLong && this.#isPassed(candidate))) continue;
        reads++;
      }
      try {
        const { verdict, isWaiting } = await this.#consider(candidate, survey, signal);
        if (!isWaiting && (candidate.hint || candidate.found?.state === 'waiting')) waiting--;
        // What has an owner after all is watched from now on, as what a sweep has found.
        if (verdict === 'late' || verdict === 'later') [hasProspects, unsure] = [true, unsure || verdict === 'late' || !candidate.hint];
        // Many workers read the same names at the same time, so one that comes late leaves some to the others.
        if (verdict === 'late') skip = Math.floor(this.#random() * 2 ** Math.min(++late, 5));
        if (verdict !== 'now') this.#pass(candidate);
        isLeft ||= verdict === 'now';
      } catch (error) {
        if (signal.aborted) return hasProspects;
        this.#options.logger.warn({ error, project: candidate.project, id: candidate.id }, 'an entry of the queue could not be read');
        if (!(error instanceof StoreUnavailable)) await this.#survey.wrong(candidate, undefined, signal).catch(() => {});
      }
    }
    this.#survey.unsure = unsure;
    this.#options.onDepth?.(Math.max(0, waiting));
    if (!isLeft && need !== undefined && this.#isFull) this.#memberships.leaveOne();
    if (!isLeft) await this.#joinOne(need === undefined ? survey.joins : [need], survey, signal);
    return hasProspects;
  }

  /** Claims a candidate, unless something keeps it from that. */
  async #consider(
    candidate: Candidate,
    survey: Survey,
    signal: AbortSignal,
  ): Promise<{ readonly verdict: 'now' | 'later' | 'never' | 'late'; readonly isWaiting: boolean }> {
    const { standing, mayClaim } = this.#options;
    const entry = entryOf(candidate);
    const found = candidate.found ?? (await standing(entry, signal));
    if (found === undefined) return { verdict: 'never', isWaiting: false };
    const isWaiting = found.state === 'waiting';
    if (found.state === 'over') {
      await this.#survey.retire(candidate, signal);
      return { verdict: 'never', isWaiting };
    }
    // Its owner is watched by the listing of the queue.
    if (!isWaiting && candidate.hint && !found.ownerEnded) {
      this.#fair.saw(entry);
      await this.#survey.wrong(candidate, found, signal);
      return { verdict: 'late', isWaiting };
    }
    const ready = await this.#readiness.of(entry, found, candidate.silent ?? false, signal);
    if (ready !== 'now') return { verdict: ready, isWaiting };
    if (isWaiting && !(await this.#isWithinLimit(entry, survey, signal))) return { verdict: 'never', isWaiting };
    if (!((await mayClaim?.(entry, signal)) ?? true)) return { verdict: 'never', isWaiting };
    if (this.#isFull) this.#memberships.leaveOne();
    else {
      this.#fair.begins(entry);
      this.#readiness.forget(entry);
      this.#begin(entry, (stopping) => this.#options.work(entry, found.fence, stopping));
    }
    return { verdict: 'now', isWaiting };
  }

  #isWithinLimit({ project }: QueueEntry, { owned }: Pick<Survey, 'owned'>, signal: AbortSignal): Promise<boolean> {
    // A worker that is a member does nothing else before it has left.
    const free = this.#isFull ? this.#memberships.in(project) : 0;
    return this.#limits.hasRoom(project, [...owned, ...[...this.#active.values()].map(({ entry }) => entry)], free, signal);
  }

  /** The first of what waits for members that this worker may join, among those that one look reads. */
  async #need({ needs, ...survey }: Survey, signal: AbortSignal): Promise<Hint | undefined> {
    const { join, mightHelp } = this.#options;
    if (join === undefined) return undefined;
    const possible = needs.filter((hint) => !this.#isPassed(hint) && (mightHelp?.(entryOf(hint)) ?? true));
    const from = possible.length > readsPerLook ? this.#needsFrom % possible.length : 0;
    const some = [...possible.slice(from), ...possible.slice(0, from)].slice(0, readsPerLook);
    for (const hint of some) {
      if (!(await this.#isWithinLimit(hint, survey, signal))) continue;
      const wish = await this.#wishOf(hint, signal);
      if (wish === 'need') return hint;
      if (wish === 'none') await this.#passUnwanted(hint, signal);
    }
    this.#needsFrom = from + some.length;
    return undefined;
  }

  /** Work that cannot be read keeps nobody from other work. */
  async #wishOf(hint: Hint, signal: AbortSignal): Promise<Wish> {
    const { wishOf, logger } = this.#options;
    const entry = entryOf(hint);
    try {
      return (await wishOf?.(entry, signal)) ?? 'need';
    } catch (error) {
      if (signal.aborted || error instanceof StoreUnavailable) throw error;
      logger.debug({ error, project: entry.project, id: entry.id }, 'it could not be found out whether work needs members');
      return 'none';
    }
  }

  /** Otherwise all workers would try to join it again and again, instead of others. */
  async #passUnwanted(hint: Hint, signal: AbortSignal): Promise<void> {
    const { project, id } = hint;
    this.#pass(hint);
    await this.#survey
      .unwanted(hint, signal)
      .catch((error) => this.#options.logger.debug({ error, project, id }, 'a hint could not be removed'));
  }

  #isPassed(entry: QueueEntry): boolean {
    const until = this.#passed.get(keyOfEntry(entry));
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.#passed.delete(keyOfEntry(entry));
    return false;
  }

  /** Forgets what is in the queue no more. */
  #keep(present: ReadonlySet<string>): void {
    this.#readiness.keep(present);
    for (const key of this.#passed.keys()) if (!present.has(key)) this.#passed.delete(key);
  }

  #pass(entry: QueueEntry): void {
    this.#passed.set(keyOfEntry(entry), performance.now() + passedPolls * this.#options.pollMs);
  }

  /** Joins the owner who wants members and comes first by priority and shares, within the limit of its project. */
  async #joinOne(wanting: readonly Hint[], survey: Survey, signal: AbortSignal): Promise<void> {
    const { join } = this.#options;
    if (join === undefined || this.#isFull || wanting.length === 0) return;
    for (const hint of this.#fair.order(wanting, survey.owned)) {
      const entry = entryOf(hint);
      if (this.#isPassed(hint) || !(await this.#isWithinLimit(entry, survey, signal))) continue;
      this.#fair.begins(entry);
      this.#begin(entry, async (stopping) => {
        const joined = await this.#memberships.join(entry, stopping);
        if (joined) return true;
        await this.#passUnwanted(hint, stopping);
        return false;
      });
      return;
    }
  }

  #begin(entry: QueueEntry, work: (stopping: AbortSignal) => Promise<boolean>): void {
    const { logger, onActive } = this.#options;
    const key = keyOfEntry(entry);
    const done = work(this.#stopping.signal)
      .then(
        (was) => {
          this.#wasLate ||= !was;
        },
        (error) => logger.error({ error, ...entry }, 'work ended unexpectedly'),
      )
      .then(() => {
        this.#active.delete(key);
        this.#busyAtMs = performance.now();
        onActive?.(this.#active.size);
        this.#onFreed();
      });
    this.#active.set(key, { entry, done });
    onActive?.(this.#active.size);
  }
}

const entryOf = ({ project, id, uid }: QueueEntry): QueueEntry => ({ project, id, uid });
