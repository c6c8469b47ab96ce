/**
 * Batches made before they are asked for, from the hints of calls (read_ahead): one at a time, only while no call waits, within the client's
 * bytes. A batch is kept for its client until it is asked for, bytes get short, the client's connection closes, the call that announced it is
 * cancelled, or a minute has passed.
 */
import type { Admission, Admitted, Needs } from './admission.js';
import type { MadeBatch } from './make-batch.js';
import type { MemoryPool } from './memory-pool.js';
import type { DataMetrics } from './metrics.js';

/** A batch that a client announced. */
export interface Announced {
  /** Everything that decides its bytes, and the client. */
  readonly key: string;
  readonly client: string;
  readonly needs: Needs;
  readonly make: (signal: AbortSignal) => Promise<MadeBatch>;
}

/** A batch taken over with what it holds. */
export interface TakenBatch {
  readonly batch: MadeBatch;
  readonly admitted: Admitted;
}

interface Job {
  readonly announced: Announced;
  readonly connection: AbortSignal;
  readonly cancel: AbortController;
  /** performance.now() */
  readonly since: number;
  /** Once started; undefined when it failed. */
  making?: Promise<TakenBatch | undefined>;
  admitted?: Admitted;
  ready: boolean;
}

const KEPT_MS = 60_000;
/** Announced and not started, of all clients; later ones are not noted. */
const MOST_NOTED = 1024;

export class Ahead {
  /** In the order in which they were announced. */
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

  /** Notes batches that a client will ask for, in order; those noted already stay as they are. */
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

  /** The batch, when it is made or being made; undefined where it was not begun or could not be made: then it is the caller's to make. */
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

  /** Forgets batches that nobody will ask for: their making is cancelled, what they hold is freed. */
  drop(keys: readonly string[]): void {
    const gone = new Set(keys);
    this.#dropWhere(({ announced }) => gone.has(announced.key));
  }

  /** Frees the oldest batch that is made and not asked for. */
  evict(): boolean {
    for (const job of this.#jobs.values()) {
      if (!job.ready) continue;
      this.#drop(job);
      return true;
    }
    return false;
  }

  /** Begins the next batch where there is room; whoever frees room calls it. */
  start(): void {
    if (this.#busy) return;
    for (const job of this.#jobs.values()) {
      if (job.making) continue;
      const admitted = this.admission.tryEnter(job.announced.client, job.announced.needs);
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
      // Whoever asks for it makes it again, and gets the error.
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
    // While it is still being made its memory is in use: what it holds is then freed when that has ended.
    if (!job.ready) return;
    void job.making.then((taken) => taken && this.memories.give(taken.batch.memory));
    job.admitted?.left();
  }
}
