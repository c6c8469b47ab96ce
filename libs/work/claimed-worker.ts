/**
 * From the queue to the end of an attempt, for any work whose life is a folded log: claims an entry at the fence that was seen, keeps the
 * heartbeat, lets an attempt run, records and counts how it ended, and forgets what it held.
 */

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { RecentMap } from '#bounds/recent-map.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { type AttemptEnds, type AttemptOutcome, runToEnd } from './attempt-end.js';
import { Claimant } from './claimant.js';
import { ClaimedLog, type Standing } from './claimed-log.js';
import type { FoldedLog } from './folded-log.js';
import type { QueueEntry, QueueIndex } from './queue-index.js';

/** One attempt's surroundings. */
export interface Attempt<E, V> extends QueueEntry {
  readonly claimed: ClaimedLog<E, V>;
  readonly logger: Logger;
  /** Aborted when the process stops: give the work back. */
  readonly stopping: AbortSignal;
}

export interface ClaimedWorkerOptions<E, V extends { readonly owner: string }, O extends AttemptOutcome>
  extends Omit<AttemptEnds<E, V, O>, 'maxAttempts'> {
  /** Singular, in logs: `run`, `evaluation`. */
  readonly kind: string;
  readonly queue: QueueIndex;
  readonly store: ObjectStore;
  readonly config: {
    /** Pieces of work at the same time. */
    readonly workers: number;
    readonly pollMs: number;
    readonly leaseTtlMs: number;
    readonly maxAttempts: number;
    readonly backoffMs: number;
  };
  readonly logger: Logger;
  readonly openLog: (entry: QueueEntry) => FoldedLog<E, V>;
  /** Name of the work, for messages. */
  readonly name: (entry: QueueEntry) => string;
  readonly heartbeatPrefix: (entry: QueueEntry) => string;
  readonly standing: (view: V) => Standing;
  /**
   * Asked before work is claimed that could be: false leaves it to other workers until the next look. A rejection, or an answer that takes
   * longer than `mayClaimMs`, is logged, and the work is asked about again at the next look. Absent: everything may be claimed.
   */
  readonly mayClaim?: (entry: QueueEntry, view: V, signal: AbortSignal) => Promise<boolean>;
  /** How long that question can hold up the look at the rest of the queue; default 10 seconds. */
  readonly mayClaimMs?: number;
  /** The record that claims it for `worker`. */
  readonly claim: (view: V, worker: string) => E;
  /** One attempt, up to its outcome; the end is recorded from what it resolves to or throws. */
  readonly attempt: (attempt: Attempt<E, V>) => Promise<O>;
  /** After the claim has ended, however it did. */
  readonly release: (entry: QueueEntry, view: V) => Promise<void>;
  /** Told how every attempt ended (see runToEnd); `unknown` where its end could not be written. */
  readonly onOutcome: (outcome: string) => void;
  readonly onDepth: (waiting: number) => void;
  readonly onActive: (active: number) => void;
}

/** Logs of queued work that are kept to be read on from where they were. */
const keptLogs = 1024;

export class ClaimedWorker<E, V extends { readonly owner: string }, O extends AttemptOutcome> {
  readonly #options: ClaimedWorkerOptions<E, V, O>;
  readonly #claimant: Claimant;
  readonly #logs = new RecentMap<string, FoldedLog<E, V>>(keptLogs);

  constructor(options: ClaimedWorkerOptions<E, V, O>) {
    this.#options = options;
    const { queue, store, config, logger, heartbeatPrefix, onDepth, onActive } = options;
    this.#claimant = new Claimant({
      queue,
      store,
      ttlMs: config.leaseTtlMs,
      pollMs: config.pollMs,
      slots: config.workers,
      backOff: { firstMs: config.backoffMs, maxAttempts: config.maxAttempts },
      logger,
      standing: async (entry, signal) => {
        const log = this.#log(entry);
        const view = await log.refresh(signal);
        return view && { ...options.standing(view), sequence: log.sequence };
      },
      heartbeatPrefix,
      mayClaim: (entry, signal) => this.#mayClaim(entry, signal),
      work: (entry, seenFence, stopping) => this.#work(entry, seenFence, stopping),
      onDepth,
      onActive,
    });
  }

  start(): void {
    this.#claimant.start();
  }

  /** Asks every attempt to give its work back, and resolves once all have. */
  async stop(): Promise<void> {
    await this.#claimant.stop();
  }

  async #mayClaim(entry: QueueEntry, stopping: AbortSignal): Promise<boolean> {
    const { mayClaim, mayClaimMs = 10_000 } = this.#options;
    const { view } = this.#log(entry);
    if (mayClaim === undefined || view === undefined) return true;
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(mayClaimMs)]);
    return await untilAborted(mayClaim(entry, view, signal), signal);
  }

  async #work(entry: QueueEntry, seenFence: number, stopping: AbortSignal): Promise<boolean> {
    const { kind, store, config, standing, claim, attempt, release, onOutcome, name, heartbeatPrefix } = this.#options;
    const ends = { ...this.#options, maxAttempts: config.maxAttempts };
    const logger = this.#options.logger.child({ project: entry.project, [kind]: entry.id });
    const log = this.#log(entry);
    this.#logs.delete(keyOf(entry));
    const owner = `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}`;
    const unclaimed = (view: V): boolean => standing(view).state !== 'over' && standing(view).fence === seenFence;
    const view = await log.append((now) => (now && unclaimed(now) ? claim(now, owner) : undefined));
    if (view?.owner !== owner) return false;
    const claimed = await ClaimedLog.start({
      work: name(entry),
      log,
      fence: standing(view).fence,
      standing,
      store,
      heartbeatPrefix: heartbeatPrefix(entry),
      owner,
      ttlMs: config.leaseTtlMs,
      pollMs: config.pollMs,
      onHeartbeatLost: (error) => logger.warn({ error }, `no heartbeat could be written; others may take the ${kind} over`),
    });
    try {
      const outcome = await runToEnd(claimed, logger, ends, () => attempt({ ...entry, claimed, logger, stopping }));
      onOutcome(outcome);
      logger.info({ outcome }, 'the attempt ended');
    } catch (error) {
      // Only the log itself fails here: whoever reads it sees work without heartbeats and takes it over.
      onOutcome('unknown');
      logger.error({ error }, 'the end of the attempt could not be written');
    } finally {
      await claimed.stop();
      await release(entry, claimed.view);
    }
    return true;
  }

  #log(entry: QueueEntry): FoldedLog<E, V> {
    return this.#logs.getOrMake(keyOf(entry), () => this.#options.openLog(entry));
  }
}

/** The promise's value, unless the signal aborts first. @throws the signal's reason */
async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

const keyOf = ({ project, id }: QueueEntry): string => `${project}/${id}`;
