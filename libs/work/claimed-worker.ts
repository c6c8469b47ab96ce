/**
 * From the queue to the end of an attempt, for any work whose life is a folded log: claims an entry at the fence that was seen, keeps the
 * heartbeat, lets an attempt run, counts what became of it, and forgets what it held.
 */

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { RecentMap } from '#bounds/recent-map.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
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

export interface ClaimedWorkerOptions<E, V extends { readonly owner: string }> {
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
  /** The record that claims it for `worker`. */
  readonly claim: (view: V, worker: string) => E;
  /** Runs one attempt and writes its end; resolves to what became of it. Throws only where its end could not be written. */
  readonly attempt: (attempt: Attempt<E, V>) => Promise<string>;
  /** After the claim has ended, however it did. */
  readonly release: (entry: QueueEntry, view: V) => Promise<void>;
  /** Told of every attempt's outcome; `unknown` where its end could not be written. */
  readonly onOutcome: (outcome: string) => void;
  readonly onDepth: (waiting: number) => void;
  readonly onActive: (active: number) => void;
}

/** Logs of queued work that are kept to be read on from where they were. */
const keptLogs = 1024;

export class ClaimedWorker<E, V extends { readonly owner: string }> {
  readonly #options: ClaimedWorkerOptions<E, V>;
  readonly #claimant: Claimant;
  readonly #logs = new RecentMap<string, FoldedLog<E, V>>(keptLogs);

  constructor(options: ClaimedWorkerOptions<E, V>) {
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

  async #work(entry: QueueEntry, seenFence: number, stopping: AbortSignal): Promise<boolean> {
    const { kind, store, config, standing, claim, attempt, release, onOutcome, name, heartbeatPrefix } = this.#options;
    const logger = this.#options.logger.child({ project: entry.project, [kind]: entry.id });
    const log = this.#log(entry);
    this.#logs.delete(keyOf(entry));
    const owner = `${hostname()}:${process.pid}:${randomBytes(6).toString('hex')}`;
    const mayClaim = (view: V): boolean => standing(view).state !== 'over' && standing(view).fence === seenFence;
    const view = await log.append((now) => (now && mayClaim(now) ? claim(now, owner) : undefined));
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
      const outcome = await attempt({ ...entry, claimed, logger, stopping });
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

const keyOf = ({ project, id }: QueueEntry): string => `${project}/${id}`;
