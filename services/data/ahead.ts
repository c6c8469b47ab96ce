/**
 * Prepares batches before they are requested, from the hints of calls (read_ahead): one at a time, only while no call waits, and within the
 * client's memory. A batch is kept for its client until it is requested, memory is short, the client's connection closes, the call that
 * announced it is cancelled, or a minute has passed.
 */
import type { Admission, Admitted } from './admission.js';
import type { MadeBatch } from './make-batch.js';
import type { MemoryPool } from './memory-pool.js';
import type { DataMetrics } from './metrics.js';
import type { Needs, Share } from './shares.js';

/** A batch that a client announced. */
export interface Announced {
  /** Identifies the batch and the client. */
  readonly key: string;
  readonly share: Share;
  readonly needs: Needs;
  readonly make: (signal: AbortSignal) => Promise<MadeBatch>;
}

/** A prepared batch with the resources that it holds. */
export interface TakenBatch {
  readonly batch: MadeBatch;
  readonly admitted: Admitted;
}

interface Job {
  readonly announced: Announced;
  readonly connection: AbortSignal;
  readonly cancel: AbortController;
  /** Time in milliseconds, by performance.now(). */
  readonly since: number;
  /** Set once preparation has started; resolves to undefined if it failed. */
  making?: Promise<TakenBatch | undefined>;
  admitted?: Admitted;
  ready: boolean;
}

const KEPT_MS = 60_000;
/** Largest number of announced batches of all clients that are not started; further ones are ignored. */
const MOST_NOTED = 1024;

export class Ahead {
  /** In the order of announcement. */
  readonly #jobs = new Map<string, Job>();
  readonly #connections = new WeakSet<AbortSignal>();
  readonly #sweep: NodeJS.Timeout;
  #busy = false;

  constructor(
    private readonly admission: Admission,
    private readonly memories: MemoryPool,
    private readonly metrics: Pick<DataMetrics, 'ahead'>,
  ) {
    this.#sweep = setInterval(() => {
      for (const job of [...this.#jobs.values()]) if (performance.now() - job.since > KEPT_MS) this.#drop(job);
    }, KEPT_MS / 4);
    this.#sweep.unref();
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Announces batches that a client will request, in order. Batches that are announced already are not changed. */
  announce(batches: readonly Announced[], connection: AbortSignal): void {
    if (connection.aborted) return;
    if (!this.#connections.has(connection)) {
      this.#connections.add(connection);
      connection.addEventListener('abort', () => this.#dropWhere((job) => job.connection === connection), { once: true });
    }
    for (const announced of batches) {
      if (this.#jobs.has(announced.key) || this.#jobs.size >= MOST_NOTED) continue;
      this.#jobs.set(announced.key, { announced, connection, cancel: new AbortController(), since: performance.now(), ready: false });
    }
    this.start();
  }

  /** Takes the batch if it is prepared or in preparation. @returns undefined if the caller has to prepare it */
  async take(key: string, signal: AbortSignal): Promise<TakenBatch | undefined> {
    const job = this.#jobs.get(key);
    if (!job) return undefined;
    this.#jobs.delete(key);
    if (!job.making) return undefined;
    const abort = (): void => job.cancel.abort();
    signal.addEventListener('abort', abort, { once: true });
    const taken = await job.making;
    signal.removeEventListener('abort', abort);
    if (taken) this.metrics.ahead.inc({ outcome: 'taken' });
    return taken;
  }

  /** Drops batches that nobody will request: cancels their preparation and frees what they hold. */
  drop(keys: readonly string[]): void {
    const gone = new Set(keys);
    this.#dropWhere(({ announced }) => gone.has(announced.key));
  }

  /** Starts the next batch if there is room. Must be called whenever room is freed. */
  start(): void {
    if (this.#busy) return;
    for (const job of this.#jobs.values()) {
      if (job.making) continue;
      const admitted = this.admission.tryEnter(job.announced.share, job.announced.needs, () => {
        if (job.ready) this.#drop(job);
        return job.ready;
      });
      if (!admitted) continue;
      this.#busy = true;
      job.admitted = admitted;
      job.making = this.#make(job, admitted);
      return;
    }
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#dropWhere(() => true);
  }

  async #make(job: Job, admitted: Admitted): Promise<TakenBatch | undefined> {
    try {
      const batch = await job.announced.make(job.cancel.signal);
      if (!job.cancel.signal.aborted) {
        job.ready = true;
        return { batch, admitted };
      }
      this.memories.give(batch.memory);
    } catch {
      // The call that requests the batch prepares it again and gets the error.
      if (this.#jobs.get(job.announced.key) === job) this.#jobs.delete(job.announced.key);
    } finally {
      this.#busy = false;
      admitted.made();
    }
    admitted.left();
    return undefined;
  }

  #dropWhere(matches: (job: Job) => boolean): void {
    for (const job of [...this.#jobs.values()]) if (matches(job)) this.#drop(job);
  }

  #drop(job: Job): void {
    this.#jobs.delete(job.announced.key);
    job.cancel.abort();
    if (!job.making) return;
    this.metrics.ahead.inc({ outcome: 'dropped' });
    // While the batch is in preparation, its memory is in use; what it holds is freed when the preparation has ended.
    if (!job.ready) return;
    void job.making.then((taken) => taken && this.memories.give(taken.batch.memory));
    job.admitted?.left();
  }
}
