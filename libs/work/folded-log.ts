/**
 * A log that several writers append to, and its fold, as one object: decide what to write from what the log says, write it behind the
 * newest record, and decide again where somebody else was faster. There is no lock and no compare-and-swap: the exclusive creation of the
 * next sequence is the whole protocol, so the history is one line and every decision was made with everything before it in view.
 */

/** Records by sequence, from 1, without gaps. */
export interface EventLog<E> {
  /** Records after a sequence, in order. */
  read(after: number, signal: AbortSignal | undefined): AsyncIterable<{ readonly sequence: number; readonly event: E }>;
  /** Creates the record of this sequence; false where another writer's is there. */
  tryAppend(sequence: number, event: E, signal: AbortSignal | undefined): Promise<boolean>;
}

export interface FoldedLogOptions<E, V> {
  readonly log: EventLog<E>;
  readonly apply: (view: V | undefined, event: E, sequence: number) => V;
  /** The fold of a prefix, to start from. */
  readonly snapshot?: { readonly sequence: number; readonly view: V } | undefined;
  /** Collisions after which an append is given up; default 100. */
  readonly maxCollisions?: number;
}

/** An append lost against other writers again and again. */
export class TooManyCollisions extends Error {
  override readonly name = 'TooManyCollisions';
  constructor(
    readonly sequence: number,
    readonly collisions: number,
  ) {
    super(`appending at ${sequence} met another writer's record ${collisions} times`);
  }
}

export class FoldedLog<E, V> {
  readonly #log: EventLog<E>;
  readonly #apply: FoldedLogOptions<E, V>['apply'];
  readonly #maxCollisions: number;
  #sequence: number;
  #view: V | undefined;
  /** Reads and appends of this object wait for each other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: FoldedLogOptions<E, V>) {
    this.#log = options.log;
    this.#apply = options.apply;
    this.#maxCollisions = options.maxCollisions ?? 100;
    this.#sequence = options.snapshot?.sequence ?? 0;
    this.#view = options.snapshot?.view;
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
    return this.#alone(() => this.#read(signal));
  }

  /**
   * Appends what `decide` makes of the view, again after every collision. `decide` may throw to give up, or return undefined where nothing
   * is to be written. Returns the view after it. The view is not refreshed first: a collision tells in time.
   */
  append(decide: (view: V | undefined) => E | undefined, signal?: AbortSignal): Promise<V | undefined> {
    return this.#alone(async () => {
      for (let collisions = 0; collisions < this.#maxCollisions; collisions++) {
        const event = decide(this.#view);
        if (event === undefined) return this.#view;
        const sequence = this.#sequence + 1;
        if (await this.#log.tryAppend(sequence, event, signal)) {
          this.#take(sequence, event);
          return this.#view;
        }
        await this.#read(signal);
      }
      throw new TooManyCollisions(this.#sequence + 1, this.#maxCollisions);
    });
  }

  async #read(signal: AbortSignal | undefined): Promise<V | undefined> {
    for await (const { sequence, event } of this.#log.read(this.#sequence, signal)) this.#take(sequence, event);
    return this.#view;
  }

  #take(sequence: number, event: E): void {
    if (sequence !== this.#sequence + 1) throw new Error(`record ${sequence} follows ${this.#sequence}: the log has a gap`);
    this.#view = this.#apply(this.#view, event, sequence);
    this.#sequence = sequence;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
