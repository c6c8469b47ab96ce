import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createExclusive } from './exclusive-create.js';
import {
  checkKey,
  listAll,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  type SignalOption,
  StorageError,
  StoreUnavailable,
} from './object-store.js';
import { SealBroken, sealJson, unsealJson } from './sealed-json.js';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue | undefined };
export type JsonObject = { [name: string]: JsonValue | undefined };

/** One record of the log. All fields but seq, writer, kind and at come from the appender. It is stored with its SHA-256 in a last field, `sha256`. */
export type LogRecord = JsonObject & {
  /** 1, 2, 3 and so on, without gaps. Watchers use it as their cursor; of a claim, it is the fence. */
  seq: number;
  /** Token of the writer that appended it; distinguishes an own record whose reply was lost from another writer's. */
  writer: string;
  kind: string;
  /** Wall-clock time in ms. Only information for people; nothing depends on it. */
  at?: number;
};

export interface LogSnapshot {
  seq: number;
  state: JsonValue;
}

/** Another writer has appended a record at this place first. What this writer knew is out of date. */
export class LogConflict extends StorageError {
  constructor(
    readonly prefix: string,
    readonly seq: number,
    readonly winner: LogRecord,
  ) {
    super(`log ${prefix}: record ${seq} was already appended by another writer (kind ${winner.kind})`);
  }
}

export class LogDamaged extends StorageError {
  constructor(
    readonly key: string,
    readonly why: string,
    cause?: unknown,
  ) {
    super(`log record ${key}: ${why}`, cause === undefined ? undefined : { cause });
  }
}

export class RecordTooLarge extends StorageError {
  constructor(
    readonly kind: string,
    readonly sizeBytes: number,
    readonly maxBytes: number,
  ) {
    super(`a ${kind} record has ${sizeBytes} bytes, at most ${maxBytes} are allowed`);
  }
}

export interface RecordLogOptions {
  /** Token of this writer, unique for every process and attempt. Default: a random one. */
  writer?: string;
  /** Largest record, in bytes of JSON. Default 1 MiB. */
  maxRecordBytes?: number;
  /** Largest snapshot, in bytes of JSON. Default 16 MiB. */
  maxSnapshotBytes?: number;
  /** Wall clock in ms for `at`. Default Date.now; if it returns undefined, `at` is left out. */
  wallClock?: () => number | undefined;
}

const SEAL = 'sha256';
const RESERVED = ['seq', 'writer', 'kind', 'at', SEAL] as const;
const SEQ_DIGITS = 12;
const MAX_SEQ = 10 ** SEQ_DIGITS - 1;
const READ_AHEAD = 8;
const SNAPSHOTS_KEPT = 2;
const DAMAGED_ATTEMPTS = 16;

const SEQ_KEY = new RegExp(`^\\d{${SEQ_DIGITS}}$`);

const seqKey = (prefix: string, seq: number): string => `${prefix}/${String(seq).padStart(SEQ_DIGITS, '0')}`;

/**
 * An append-only log below `prefix`, with one object for each record. An append creates the object of the next sequence number exclusively, so the
 * history is linear even if writers fail or are late. A writer knows the log up to `head` and appends right after it. It gets LogConflict if another
 * writer was faster.
 */
export class RecordLog {
  readonly writer: string;
  private readonly maxRecordBytes: number;
  private readonly maxSnapshotBytes: number;
  private readonly wallClock: () => number | undefined;
  private known = 0;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: ObjectStore,
    readonly prefix: string,
    options: RecordLogOptions = {},
  ) {
    checkKey(prefix);
    this.writer = options.writer ?? randomUUID();
    this.maxRecordBytes = options.maxRecordBytes ?? 1 << 20;
    this.maxSnapshotBytes = options.maxSnapshotBytes ?? 16 << 20;
    this.wallClock = options.wallClock ?? Date.now;
  }

  /** The newest sequence number that this object has read or written; 0 if none. */
  get head(): number {
    return this.known;
  }

  /**
   * Appends a record at head + 1. Calls on one RecordLog run one after another.
   * @param payload JSON; must not have the fields seq, writer, kind, at or sha256
   * @throws LogConflict if another writer has appended there: `read` on to learn what happened, or stop
   * @throws StoreUnavailable if the outcome is unknown: repeating the append is safe, and never appends the same record twice in a row
   * @throws RecordTooLarge, TypeError (payload)
   */
  append(kind: string, payload: JsonObject = {}, options: SignalOption = {}): Promise<LogRecord> {
    const turn = this.last.then(() => this.appendNext(kind, payload, options.signal));
    this.last = turn.catch(() => undefined);
    return turn;
  }

  private async appendNext(kind: string, payload: JsonObject, signal?: AbortSignal): Promise<LogRecord> {
    for (const name of RESERVED) if (name in payload) throw new TypeError(`a ${kind} record cannot have a field of its own named ${name}`);
    const content = JSON.stringify(payload);
    for (;;) {
      const seq = this.known + 1;
      const at = this.wallClock();
      const record: LogRecord = { seq, writer: this.writer, kind, ...(at === undefined ? {} : { at }), ...payload };
      const { bytes } = sealJson(record, SEAL);
      if (bytes.length > this.maxRecordBytes) throw new RecordTooLarge(kind, bytes.length, this.maxRecordBytes);
      const key = seqKey(this.prefix, seq);
      if ((await createExclusive(this.store, key, bytes, { contentType: 'application/json', signal })) === 'created') {
        this.known = seq;
        return parseRecord(key, seq, bytes);
      }
      const found = await this.readOne(seq, signal);
      if (!found) throw new LogDamaged(key, 'the store said that it exists, but it cannot be found');
      if (found.writer !== this.writer) throw new LogConflict(this.prefix, seq, found);
      // An earlier append of our own got no answer, but succeeded.
      this.known = seq;
      if (found.kind === kind && JSON.stringify(payloadOf(found)) === content) return found;
    }
  }

  /**
   * Every record after a sequence number, in order, up to the present end of the log.
   * @param options.after default 0: from the start
   * @throws LogDamaged if a record in between is missing or unreadable, or if record `after` itself is missing
   */
  async *read({ after = 0, signal }: { after?: number } & SignalOption = {}): AsyncGenerator<LogRecord, void> {
    // The end is where the listing ends, and not the first record that is missing: otherwise the next append would be written into a hole. The listing
    // begins with record `after`, so that the loss of the newest records is noticed too.
    let seq = Math.max(0, after - 1);
    const ahead: Promise<LogRecord>[] = [];
    const options = { after: seq === 0 ? undefined : seqKey(this.prefix, seq), signal };
    for await (const { key } of listAll(this.store, `${this.prefix}/`, options)) {
      const listed = this.seqOf(key);
      // A listing that runs during appends may contain a record but not the one before it; records that are missing in the listing are read by key.
      while (seq < listed) {
        seq++;
        if (seq <= after && seq === listed) continue;
        ahead.push(quietly(this.readListed(seq, key, signal)));
        if (ahead.length === READ_AHEAD) yield* this.seenAfter(after, await ahead.shift()!);
      }
    }
    while (ahead.length > 0) yield* this.seenAfter(after, await ahead.shift()!);
    if (seq < after) throw new LogDamaged(seqKey(this.prefix, after), 'it was read before, and is missing now');
  }

  /**
   * Every record after a sequence number, and then new ones as they are appended, until the signal ends it (without an error).
   * @param options.pollMs pause in ms before looking again at the end of the log. Default 500.
   */
  async *watch({
    after = 0,
    pollMs = 500,
    signal,
  }: { after?: number; pollMs?: number } & SignalOption = {}): AsyncGenerator<LogRecord, void> {
    try {
      let seq = after;
      for await (const record of this.read({ after, signal })) {
        seq = record.seq;
        yield record;
      }
      while (!signal?.aborted) {
        const record = await this.recordAfter(seq, { signal });
        if (record) {
          seq = record.seq;
          yield record;
        } else await delay(pollMs, undefined, { signal });
      }
    } catch (error) {
      if (!signal?.aborted) throw error;
    }
  }

  /**
   * The record right after a sequence number; undefined at the end of the log. A listing of two keys decides that it is the end.
   * @throws LogDamaged if it is missing although later ones exist, or if record `seq` itself is missing
   */
  async recordAfter(seq: number, { signal }: SignalOption = {}): Promise<LogRecord | undefined> {
    const record = await this.readOne(seq + 1, signal);
    if (record) return this.seen(record);
    const options = { after: seq > 1 ? seqKey(this.prefix, seq - 1) : undefined, limit: 2, signal };
    const { objects } = await this.store.list(`${this.prefix}/`, options);
    const later = objects.find(({ key }) => this.seqOf(key) > seq);
    if (later !== undefined) return this.seen(await this.readListed(seq + 1, later.key, signal));
    if (seq > 0 && objects.length === 0) throw new LogDamaged(seqKey(this.prefix, seq), 'it was read before, and is missing now');
    return undefined;
  }

  /** Whether there is a record with this number: the cheapest look at a log. It tells neither a hole from the end nor damage from a record. */
  async has(seq: number, { signal }: SignalOption = {}): Promise<boolean> {
    try {
      await this.store.head(seqKey(this.prefix, seq), { signal });
      return true;
    } catch (error) {
      if (error instanceof ObjectNotFound) return false;
      throw error;
    }
  }

  /**
   * Appends a record to a log that is damaged, after the newest record that it has; none of the others is read. If the newest record says the same,
   * nothing is appended.
   * @throws StoreUnavailable if the outcome is unknown or other writers are faster again and again
   */
  async appendToDamaged(kind: string, payload: JsonObject, { signal }: SignalOption = {}): Promise<void> {
    const content = JSON.stringify(payload);
    for (let attempt = 1; attempt <= DAMAGED_ATTEMPTS; attempt++) {
      let last = 0;
      for await (const { key } of listAll(this.store, `${this.prefix}/`, { signal })) {
        const name = key.slice(this.prefix.length + 1);
        if (SEQ_KEY.test(name)) last = Math.max(last, Number(name));
      }
      const newest = await this.readOne(last, signal).catch((error) => {
        if (!(error instanceof LogDamaged)) throw error;
      });
      if (newest && newest.kind === kind && JSON.stringify(payloadOf(newest)) === content) return;
      const at = this.wallClock();
      const record: LogRecord = { seq: last + 1, writer: this.writer, kind, ...(at === undefined ? {} : { at }), ...payload };
      const { bytes } = sealJson(record, SEAL);
      const key = seqKey(this.prefix, last + 1);
      if ((await createExclusive(this.store, key, bytes, { contentType: 'application/json', signal })) === 'created') return;
    }
    throw new StoreUnavailable(`log ${this.prefix}: other writers were faster ${DAMAGED_ATTEMPTS} times`, true);
  }

  /**
   * Stores the result of folding the log up to `seq`, so that later readers can start there. The fold must be a pure function of the records: then
   * all snapshots of one sequence number are equal, and the first one is kept.
   */
  async writeSnapshot(seq: number, state: JsonValue, { signal }: SignalOption = {}): Promise<void> {
    const { bytes } = sealJson({ seq, state }, SEAL);
    if (bytes.length > this.maxSnapshotBytes) throw new RecordTooLarge('snapshot', bytes.length, this.maxSnapshotBytes);
    await createExclusive(this.store, seqKey(this.snapshotPrefix, seq), bytes, { contentType: 'application/json', signal });
    const keys = await this.snapshotKeys(signal);
    for (const key of keys.slice(0, -SNAPSHOTS_KEPT)) await this.store.delete(key, { signal });
  }

  /** The newest valid snapshot; continue with `read({ after: snapshot.seq })`. */
  async readSnapshot({ signal }: SignalOption = {}): Promise<LogSnapshot | undefined> {
    for (const key of (await this.snapshotKeys(signal)).reverse()) {
      try {
        const { bytes } = await this.store.get(key, { maxBytes: this.maxSnapshotBytes, signal });
        const { seq, state } = unsealJson(bytes, SEAL).value as LogSnapshot;
        if (key !== seqKey(this.snapshotPrefix, seq)) continue;
        this.known = Math.max(this.known, seq);
        return { seq, state };
      } catch (error) {
        // This snapshot was deleted meanwhile or is damaged. An older one, or the whole log, gives the same result.
        if (!(error instanceof ObjectNotFound || error instanceof SealBroken || error instanceof ObjectTooLarge)) throw error;
      }
    }
    return undefined;
  }

  private get snapshotPrefix(): string {
    return `${this.prefix}-snapshots`;
  }

  private async snapshotKeys(signal?: AbortSignal): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of listAll(this.store, `${this.snapshotPrefix}/`, { signal })) keys.push(key);
    return keys;
  }

  private seen(record: LogRecord): LogRecord {
    if (record.seq === this.known + 1) this.known = record.seq;
    return record;
  }

  private *seenAfter(after: number, record: LogRecord): Generator<LogRecord, void> {
    if (record.seq > after) yield this.seen(record);
  }

  private seqOf(key: string): number {
    const name = key.slice(this.prefix.length + 1);
    if (!SEQ_KEY.test(name)) throw new LogDamaged(key, 'it is not a record of a log');
    return Number(name);
  }

  private async readListed(seq: number, listed: string, signal?: AbortSignal): Promise<LogRecord> {
    const record = await this.readOne(seq, signal);
    if (!record) throw new LogDamaged(seqKey(this.prefix, seq), `it is missing, although record ${listed} exists`);
    return record;
  }

  private async readOne(seq: number, signal?: AbortSignal): Promise<LogRecord | undefined> {
    if (seq > MAX_SEQ) throw new RangeError(`log ${this.prefix} is full: it has ${MAX_SEQ} records`);
    const key = seqKey(this.prefix, seq);
    try {
      const { bytes } = await this.store.get(key, { maxBytes: this.maxRecordBytes, signal });
      return parseRecord(key, seq, bytes);
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined;
      if (error instanceof ObjectTooLarge)
        throw new LogDamaged(key, `it has ${error.sizeBytes} bytes, at most ${error.maxBytes} are allowed`, error);
      throw error;
    }
  }
}

/** For a promise that is read ahead and may never be awaited: a rejection is thrown where it is awaited, and not reported as unhandled. */
function quietly<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

function payloadOf(record: LogRecord): JsonObject {
  const { seq: _seq, writer: _writer, kind: _kind, at: _at, ...payload } = record;
  return payload;
}

/** @throws LogDamaged, with the broken seal as its cause if the bytes were changed */
export function parseRecord(key: string, seq: number, bytes: Buffer): LogRecord {
  let value: unknown;
  try {
    value = unsealJson(bytes, SEAL).value;
  } catch (error) {
    if (!(error instanceof SealBroken)) throw error;
    throw new LogDamaged(key, `its content was changed: ${error.message}`, error);
  }
  const record = value as LogRecord | null;
  if (
    typeof record !== 'object' ||
    record === null ||
    record.seq !== seq ||
    typeof record.writer !== 'string' ||
    typeof record.kind !== 'string'
  ) {
    throw new LogDamaged(key, `it is not record ${seq} of a log`);
  }
  return record;
}
