/**
 * What a worker with free slots finds in the queue. A look is one listing of the hints (queue-hints.ts); if work waits, a second one of the queue, for the
 * shares of projects. Now and then a look is a sweep, which lists the queue too, and reads the logs of what the listings do not explain (owner-watch.ts).
 * So what a look costs does not grow with the work that others do, but for a request for every 1,000 pieces of it.
 */
import { Limiter } from '#bounds/limiter.js';
import { RecentMap } from '#bounds/recent-map.js';
import type { Logger } from '#telemetry/logger.js';
import { LookPace } from './look-pace.js';
import { OwnerWatch, type Suspect } from './owner-watch.js';
import { keyOfEntry, type QueueEntry } from './queue-entry.js';
import type { Hint, Place } from './queue-hints.js';
import type { QueueIndex } from './queue-index.js';
import type { Found } from './readiness.js';

/** What a worker might claim. */
export interface Candidate extends QueueEntry, Place {
  /** Absent for what only a sweep has found. */
  readonly hint?: Hint;
  /** What its log says, if it was read. */
  readonly found?: Found;
  /** True if its owner has not shown life for a TTL. */
  readonly silent?: boolean;
}

export interface Survey {
  readonly claims: readonly Candidate[];
  readonly joins: readonly Hint[];
  /** What waits for members, the first in order first. */
  readonly needs: readonly Hint[];
  /** What seems to have an owner, if the queue was listed. */
  readonly owned: readonly QueueEntry[];
  /** True if an owner may be gone. */
  readonly doubts: boolean;
  /** Keys of all that is in the queue; absent if it was not listed. */
  readonly present?: ReadonlySet<string>;
}

export interface QueueSurveyOptions {
  readonly queue: QueueIndex;
  readonly ttlMs: number;
  readonly pollMs: number;
  readonly logger: Logger;
  readonly random: () => number;
  readonly standing: (entry: QueueEntry, signal: AbortSignal) => Promise<Found | undefined>;
  /** True if owners are known to have ended, so that the logs of what has an owner are worth reading. */
  readonly knowsEnded: boolean;
}

/** Number of logs that a sweep reads, and how many at the same time. */
const [maxReads, readsAtOnce] = [100, 8];
/** Sweeps in a TTL, of a worker that is one of few; of very many, each makes two. */
const [sweepsPerTtl, leastSweepsPerTtl] = [5, 2];
/** Number of hints that are remembered because they were wrong once. */
const remembered = 4096;

export class QueueSurvey {
  readonly pace: LookPace;
  readonly #options: QueueSurveyOptions;
  readonly #watch: OwnerWatch;
  /** By key of the hint: the sequence of the record that it contradicted. */
  readonly #wrong = new RecentMap<string, number>(remembered);
  #sweepAtMs = 0;
  #doubts = false;
  #unsure = false;

  constructor(options: QueueSurveyOptions) {
    this.#options = options;
    this.#watch = new OwnerWatch(options.ttlMs);
    this.pace = new LookPace({ pollMs: options.pollMs, random: options.random });
  }

  /** @param ours what this process works on */
  async look(ours: ReadonlySet<string>, signal: AbortSignal): Promise<Survey> {
    const { queue, knowsEnded } = this.#options;
    const hints = await queue.hints.list(signal);
    if (this.pace.looked(hints.mark)) await this.#leaveMark(signal);
    const claims = hints.claims.filter((hint) => !ours.has(keyOfEntry(hint)));
    const joins = hints.joins.filter((hint) => !ours.has(keyOfEntry(hint)));
    const needs = hints.needs.filter((hint) => !ours.has(keyOfEntry(hint)));
    const sweeps = this.#unsure || performance.now() >= this.#sweepAtMs;
    if (!sweeps && claims.length + joins.length + needs.length === 0) return { claims, joins, needs, owned: [], doubts: this.#doubts };
    const askedAtMs = performance.now();
    const listed = await queue.listed(signal);
    const known = new Set([...ours, ...claims.map(keyOfEntry)]);
    const { suspects, owned, doubts } = this.#watch.take(listed, known, askedAtMs);
    this.#doubts = doubts;
    const ownedHere = listed.filter(({ entry }) => ours.has(keyOfEntry(entry))).map(({ entry }) => entry);
    const candidates: Candidate[] = claims.map((hint) => ({ ...hint, hint }));
    if (sweeps) {
      // Without suspects that are new, a listing says as much as reading them would.
      const others = knowsEnded ? owned.map((entry) => ({ entry, version: '', touched: true, silent: false })) : [];
      const asked = new Set(suspects.map(({ entry }) => keyOfEntry(entry)));
      candidates.push(...(await this.#read([...suspects, ...others.filter(({ entry }) => !asked.has(keyOfEntry(entry)))], signal)));
      this.#sweepAtMs = performance.now() + this.#sweepPauseMs();
    }
    const present = new Set([...listed.map(({ entry }) => keyOfEntry(entry)), ...[...claims, ...joins, ...needs].map(keyOfEntry)]);
    return { claims: candidates, joins, needs, owned: [...ownedHere, ...owned], doubts, present };
  }

  /** True makes the next look a sweep: the time counts for which an owner shows no life. */
  set unsure(unsure: boolean) {
    this.#unsure = unsure;
  }

  /**
   * Removes a hint that is wrong for the second time: at the first one, whoever has claimed the work may be about to remove it.
   * @param found undefined if the log is damaged: then its entry in the queue tells of it
   */
  async wrong({ hint, ...entry }: Candidate, found: Found | undefined, signal: AbortSignal): Promise<void> {
    if (hint === undefined) return;
    const sequence = found?.sequence ?? 0;
    if (this.#wrong.get(hint.key) !== sequence) return this.#wrong.set(hint.key, sequence);
    await this.#drop(entry, hint, signal);
  }

  /**
   * Removes what is left in the queue of work that is over. Work that is queued again has its entry added both before and after its record, and the
   * second time may fall just before this removal. So the log is read once more afterwards: one of the two sides sees the other.
   */
  async retire({ hint, ...entry }: Candidate, signal: AbortSignal): Promise<void> {
    const { queue } = this.#options;
    await queue.remove(entry, signal);
    if (hint) await queue.hints.drop(hint, signal);
    const now = await this.#options.standing(entry, signal);
    if (now === undefined || now.state === 'over') return;
    await queue.add(entry, signal);
    if (now.state === 'waiting') await queue.hints.add('claim', entry, now.place ?? entry, signal);
  }

  /** Removes a hint for members whose owner is gone. An owner that has come since writes it again with its next sign of life. */
  async unwanted(hint: Hint, signal: AbortSignal): Promise<void> {
    const { queue, standing } = this.#options;
    const entry = { project: hint.project, id: hint.id, uid: hint.uid };
    const now = await standing(entry, signal);
    if (now !== undefined && now.state !== 'owned') await queue.hints.drop(hint, signal);
  }

  /** As above: the work may wait again since its log was read. */
  async #drop(entry: QueueEntry, hint: Hint, signal: AbortSignal): Promise<void> {
    const { queue, standing } = this.#options;
    this.#wrong.delete(hint.key);
    await queue.hints.drop(hint, signal);
    if ((await standing(entry, signal))?.state === 'waiting') await queue.hints.add('claim', entry, hint, signal);
  }

  async #read(suspects: readonly Suspect[], signal: AbortSignal): Promise<Candidate[]> {
    const limiter = new Limiter(readsAtOnce);
    const read = suspects.slice(0, maxReads).map((suspect) => limiter.run(() => this.#candidate(suspect, signal)));
    return (await Promise.all(read)).filter((candidate) => candidate !== undefined);
  }

  async #candidate({ entry, silent }: Suspect, signal: AbortSignal): Promise<Candidate | undefined> {
    const { queue, standing, logger } = this.#options;
    try {
      const found = await standing(entry, signal);
      this.#watch.judge(entry, found?.state === 'owned' ? 'owned' : 'ownerless');
      if (found === undefined) return undefined;
      const place = found.place ?? { priority: 0, sinceMs: 0 };
      // So that others find it too, without reading.
      if (found.state === 'waiting' && found.place) await queue.hints.add('claim', entry, place, signal);
      const isSilent = silent && found.state === 'owned' && (await queue.touchedBy(entry, signal)) === found.fence;
      return { ...entry, ...place, found, silent: isSilent };
    } catch (error) {
      if (signal.aborted) throw error;
      logger.warn({ error, ...entry }, 'an entry of the queue could not be read');
      return undefined;
    }
  }

  #sweepPauseMs(): number {
    const { ttlMs, random } = this.#options;
    const least = ttlMs / sweepsPerTtl;
    return Math.min(ttlMs / leastSweepsPerTtl, least * this.pace.factor) * (1 - 0.2 * random());
  }

  /** Without it, others look more often than they must. */
  async #leaveMark(signal: AbortSignal): Promise<void> {
    const { queue, logger } = this.#options;
    await queue.hints.leaveMark(signal).catch((error) => logger.debug({ error }, 'the mark of a look could not be written'));
  }
}
