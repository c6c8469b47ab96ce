/**
 * A log that several writers append to, and its fold, as one object: decide what to write from what the log says, write it behind the
 * newest record, and decide again where somebody else was faster. There is no lock and no compare-and-swap: the exclusive creation of the
 * next sequence is the whole protocol, so the history is one line and every decision was made with everything before it in view.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Unavailable } from '#errors/errors.js';
import { StoreUnavailable } from '#storage/object-store.js';
import { type JsonObject, type JsonValue, LogConflict, type LogRecord, type RecordLog } from '#storage/record-log.js';

export interface LogCodec<E> {
  encode(event: E): { readonly kind: string; readonly payload: JsonObject };
  decode(record: LogRecord): E;
}

/** How views are kept between readers. */
export interface SnapshotCodec<V> {
  encode(view: V): JsonValue;
  /** May throw: the log is then replayed from its start. */
  decode(state: JsonValue): V;
  /** Records between snapshots. */
  readonly every: number;
}

export interface FoldedLogOptions<E, V> {
  readonly log: RecordLog;
  readonly codec: LogCodec<E>;
  readonly apply: (view: V | undefined, event: E, sequence: number) => V;
  readonly snapshots?: SnapshotCodec<V> | undefined;
  /** Collisions after which an append is given up; default 100. */
  readonly maxCollisions?: number;
  /** How long a store that does not answer is asked again; default 30 seconds. */
  readonly storePatienceMs?: number;
}

/** An append lost against other writers again and again. */
export class TooManyCollisions extends Unavailable {
  constructor(
    readonly sequence: number,
    readonly collisions: number,
  ) {
    super(`record ${sequence} of a log, which another writer was faster to write ${collisions} times,`);
  }
}

const firstPauseMs = 100;
const longestPauseMs = 3000;
/** Records read one by one before the rest is listed and read ahead. */
const looksAhead = 16;

export class FoldedLog<E, V> {
  readonly #options: FoldedLogOptions<E, V>;
  #sequence = 0;
  #view: V | undefined;
  #snapshotAt = 0;
  #started = false;
  /** Reads and appends of this object wait for each other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: FoldedLogOptions<E, V>) {
    this.#options = options;
  }

  /** The fold of everything read so far; undefined before the first record. */
  get view(): V | undefined {
    return this.#view;
  }

  /** Sequence of the newest record read; 0: none. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Reads what others have appended. */
  refresh(signal?: AbortSignal): Promise<V | undefined> {
    return this.#alone(() => this.#patiently(() => this.#read(signal), signal));
  }

  /**
   * Appends what `decide` makes of the view, again after every collision. `decide` may throw to give up, or return undefined where nothing
   * is to be written. Returns the view after it. The view is not refreshed first: a collision tells in time.
   * @throws StoreUnavailable where the store does not answer for `storePatienceMs`
   */
  append(decide: (view: V | undefined) => E | undefined, signal?: AbortSignal): Promise<V | undefined> {
    return this.#alone(async () => {
      const { log, codec, maxCollisions = 100 } = this.#options;
      for (let collisions = 0; collisions < maxCollisions; collisions++) {
        const event = decide(this.#view);
        if (event === undefined) return this.#view;
        const { kind, payload } = codec.encode(event);
        try {
          const record = await this.#patiently(() => log.append(kind, payload, { signal }), signal);
          // A record of our own whose reply was lost may stand before this one.
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
    const { log } = this.#options;
    if (this.#started) {
      // At the end of a long log a look at the next record costs less than a listing.
      for (let looks = 0; looks < looksAhead; looks++) {
        const record = await log.recordAfter(this.#sequence, { signal });
        if (record === undefined) return this.#view;
        this.#take(record);
      }
    } else await this.#readSnapshot(signal);
    this.#started = true;
    for await (const record of log.read({ after: this.#sequence, signal })) this.#take(record);
    return this.#view;
  }

  async #readSnapshot(signal: AbortSignal | undefined): Promise<void> {
    const { log, snapshots } = this.#options;
    const found = snapshots && (await log.readSnapshot({ signal }));
    if (!found) return;
    try {
      this.#view = snapshots.decode(found.state);
    } catch {
      // Of another release: the log from its start says the same.
      return;
    }
    this.#sequence = found.seq;
    this.#snapshotAt = found.seq;
  }

  /** A snapshot only saves reading: one that fails is no failure of the append. */
  async #keepSnapshot(signal: AbortSignal | undefined): Promise<void> {
    const { log, snapshots } = this.#options;
    if (!snapshots || this.#view === undefined || this.#sequence - this.#snapshotAt < snapshots.every) return;
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
    const begun = performance.now();
    for (let pause = firstPauseMs; ; pause = Math.min(longestPauseMs, 2 * pause)) {
      try {
        return await work();
      } catch (error) {
        const waited = performance.now() - begun;
        if (!(error instanceof StoreUnavailable) || !error.retryable || waited + pause > (this.#options.storePatienceMs ?? 30_000))
          throw error;
      }
      await delay(pause, undefined, signal && { signal });
    }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
