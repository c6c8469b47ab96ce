/**
 * A log with several writers, together with its fold. A writer decides from the fold what to append, appends it after the newest record, and decides
 * again if another writer was faster. There is no lock and no compare-and-swap: the exclusive creation of the next sequence number is enough. So the
 * history is linear, and every decision was made with all earlier records in view.
 */
import { Unavailable } from '#errors/errors.js';
import { type JsonObject, type JsonValue, LogConflict, type LogRecord } from '#storage/log-record.js';
import { StoreFull, StoreUnavailable } from '#storage/object-store.js';
import { patiently } from '#storage/patience.js';
import type { RecordLog } from '#storage/record-log.js';

export interface LogCodec<E> {
  encode(event: E): { readonly kind: string; readonly payload: JsonObject };
  decode(record: LogRecord): E;
}

/** How views are stored as snapshots. */
export interface SnapshotCodec<V> {
  encode(view: V): JsonValue;
  /** May throw; then the log is read from its start. */
  decode(state: JsonValue): V;
  /** Number of records between two snapshots. */
  readonly every: number;
  /** True for a view that will not change any more: it gets a snapshot, however few records there are, because lists read it for ever. */
  readonly isLast?: (view: V) => boolean;
}

export interface StorePatience {
  /** How long a store that does not answer is asked again, in ms; default 30 seconds. 0 where somebody waits for an answer. */
  readonly storePatienceMs?: number | undefined;
  /** How long a store without room is asked again, in ms; default ten times `storePatienceMs`, because people have to make room. */
  readonly fullPatienceMs?: number | undefined;
}

/** For calls: whether to try again is up to the caller. */
export const noPatience: StorePatience = { storePatienceMs: 0 };

export interface FoldedLogOptions<E, V> extends StorePatience {
  readonly log: RecordLog;
  readonly codec: LogCodec<E>;
  readonly apply: (view: V | undefined, event: E, sequence: number) => V;
  readonly snapshots?: SnapshotCodec<V> | undefined;
  /** Number of collisions after which an append fails; default 100. */
  readonly maxCollisions?: number;
}

/** An append lost against other writers too many times. */
export class TooManyCollisions extends Unavailable {
  constructor(
    readonly sequence: number,
    readonly collisions: number,
  ) {
    super(`record ${sequence} of a log, which another writer was faster to write ${collisions} times,`);
  }
}

export class FoldedLog<E, V> {
  readonly #options: FoldedLogOptions<E, V>;
  #sequence = 0;
  #view: V | undefined;
  #snapshotAt = 0;
  /** True if the last look at the log failed: nothing may be appended before one succeeds. */
  #lookFailed = false;
  /** Reads and appends of this object run one after another. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: FoldedLogOptions<E, V>) {
    this.#options = options;
  }

  /** The fold of all records read so far; undefined before the first record. */
  get view(): V | undefined {
    return this.#view;
  }

  /** Sequence number of the newest record read; 0 if none. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Reads new records of other writers. */
  refresh(signal?: AbortSignal): Promise<V | undefined> {
    return this.#alone(() => this.#patiently(() => this.#read(signal), signal));
  }

  /**
   * Appends the record that `decide` returns for the view, and calls it again after every collision. `decide` may throw to give up, or return
   * undefined if there is nothing to append. Returns the resulting view. The view is not refreshed first, because a collision reveals that it is out
   * of date.
   * @throws StoreUnavailable if the store does not answer for `storePatienceMs`
   */
  append(decide: (view: V | undefined) => E | undefined, signal?: AbortSignal): Promise<V | undefined> {
    return this.#alone(async () => {
      const { log, codec, maxCollisions = 100 } = this.#options;
      // What the log has read but this fold has not (a reply was lost, or a record could not be folded) comes first, and so does a look that failed.
      if (log.head !== this.#sequence || this.#lookFailed) await this.#patiently(() => this.#read(signal), signal);
      for (let collisions = 0; collisions < maxCollisions; collisions++) {
        const event = decide(this.#view);
        if (event === undefined) return this.#view;
        const { kind, payload } = codec.encode(event);
        try {
          const record = await this.#patiently(() => log.append(kind, payload, { signal }), signal);
          // A record of our own, whose reply was lost, may stand before this one.
          if (record.seq === this.#sequence + 1) this.#take(record);
          else await this.#patiently(() => this.#read(signal), signal);
          await this.#keepSnapshot(signal);
          return this.#view;
        } catch (error) {
          if (!(error instanceof LogConflict)) throw error;
        }
        await this.#patiently(() => this.#read(signal), signal);
      }
      throw new TooManyCollisions(this.#sequence + 1, maxCollisions);
    });
  }

  async #read(signal: AbortSignal | undefined): Promise<V | undefined> {
    this.#lookFailed = true;
    if (this.#sequence === 0) await this.#readSnapshot(signal);
    // What was taken stays taken if a later record cannot be read. Every look lists, so that a hole is an error again at the next one.
    for await (const record of this.#options.log.read({ after: this.#sequence, signal })) this.#take(record);
    this.#lookFailed = false;
    return this.#view;
  }

  async #readSnapshot(signal: AbortSignal | undefined): Promise<void> {
    const { log, snapshots } = this.#options;
    const found = snapshots && (await log.readSnapshot({ signal }));
    if (!found) return;
    try {
      this.#view = snapshots.decode(found.state);
    } catch {
      // A snapshot of another release is ignored: reading the log from its start gives the same view.
      return;
    }
    this.#sequence = found.seq;
    this.#snapshotAt = found.seq;
  }

  /** A snapshot only saves reading, so a failure to write it does not fail the append. */
  async #keepSnapshot(signal: AbortSignal | undefined): Promise<void> {
    const { log, snapshots } = this.#options;
    if (!snapshots || this.#view === undefined || this.#sequence === this.#snapshotAt) return;
    if (this.#sequence - this.#snapshotAt < snapshots.every && !snapshots.isLast?.(this.#view)) return;
    this.#snapshotAt = this.#sequence;
    await log.writeSnapshot(this.#sequence, snapshots.encode(this.#view), { signal }).catch((error) => {
      if (!(error instanceof StoreUnavailable)) throw error;
    });
  }

  #take(record: LogRecord): void {
    if (record.seq !== this.#sequence + 1) throw new Error(`record ${record.seq} follows ${this.#sequence}: the log has a gap`);
    this.#view = this.#options.apply(this.#view, this.#options.codec.decode(record), record.seq);
    this.#sequence = record.seq;
  }

  async #patiently<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const { storePatienceMs = 30_000, fullPatienceMs = 10 * storePatienceMs } = this.#options;
    return await patiently(work, { patienceMs: (error) => (error instanceof StoreFull ? fullPatienceMs : storePatienceMs), signal });
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
