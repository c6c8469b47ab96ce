import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { RecentMap } from '#bounds/recent-map.js';
import { isSha256 } from './content-hash.js';
import { createExclusive } from './exclusive-create.js';
import {
  checkKey,
  listAll,
  MAX_LIST_LIMIT,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  objectExists,
  type SignalOption,
  StorageError,
  StoreUnavailable,
} from './object-store.js';
import { SealBroken, sealJson, unsealJson } from './sealed-json.js';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue | undefined };
export type JsonObject = { [name: string]: JsonValue | undefined };

/**
 * One record of the log. All fields but seq, writer, previous, kind and at come from the appender. It is stored with its SHA-256 in a last field,
 * `sha256`.
 */
export type LogRecord = JsonObject & {
  /** 1, 2, 3 and so on, without gaps. Watchers use it as their cursor; of a claim, it is the fence. */
  seq: number;
  /** Token of the writer that appended it; distinguishes an own record whose reply was lost from another writer's. */
  writer: string;
  /** SHA-256 of the record before this one, as it is stored with that one; empty in record 1. */
  previous: string;
  kind: string;
  /** Wall-clock time in ms. Only information for people; nothing depends on it. */
  at?: number;
};

export interface LogSnapshot {
  seq: number;
  /** SHA-256 of record `seq`. */
  last: string;
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
const RESERVED = ['seq', 'writer', 'previous', 'kind', 'at', SEAL] as const;
const SEQ_DIGITS = 12;
const MAX_SEQ = 10 ** SEQ_DIGITS - 1;
const READ_AHEAD = 8;
const SNAPSHOTS_KEPT = 2;
const DAMAGED_ATTEMPTS = 16;
/** Stands for the SHA-256 of a record that cannot be read. The record that has it was appended to a damaged log, and may follow any other. */
const UNKNOWN_SHA256 = '0'.repeat(64);
/** Number of records whose SHA-256 is remembered, for readers that read on at several places. */
const REMEMBERED = 16;
/** Number of pages of keys that are listed side by side. */
const PAGES_AT_ONCE = 8;

const SEQ_KEY = new RegExp(`^\\d{${SEQ_DIGITS}}$`);

const seqKey = (prefix: string, seq: number): string => `${prefix}/${String(seq).padStart(SEQ_DIGITS, '0')}`;

/** A record as it was read. */
export interface SealedRecord {
  readonly record: LogRecord;
  readonly sha256: string;
}

/**
 * An append-only log below `prefix`, with one object for each record. An append creates the object of the next sequence number exclusively, so the
 * history is linear even if writers fail or are late. A writer knows the log up to `head` and appends right after it. It gets LogConflict if another
 * writer was faster.
 *
 * Every record names the SHA-256 of the one before it. If a record is lost and a writer that was frozen before that record creates it anew, then the
 * next record does not follow it, and every reader that comes from there notices.
 */
export class RecordLog {
  readonly writer: string;
  private readonly maxRecordBytes: number;
  private readonly maxSnapshotBytes: number;
  private readonly wallClock: () => number | undefined;
  private known = 0;
  /** SHA-256 of record `known`. */
  private knownSha256 = '';
  private readonly recent = new RecentMap<number, string>(REMEMBERED);
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
   * @param payload JSON; must not have the fields seq, writer, previous, kind, at or sha256
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
      const head = { seq, writer: this.writer, previous: this.knownSha256, kind };
      const record: LogRecord = { ...head, ...(at === undefined ? {} : { at }), ...payload };
      const { bytes, sha256 } = sealJson(record, SEAL);
      if (bytes.length > this.maxRecordBytes) throw new RecordTooLarge(kind, bytes.length, this.maxRecordBytes);
      const key = seqKey(this.prefix, seq);
      if ((await createExclusive(this.store, key, bytes, { contentType: 'application/json', signal })) === 'created') {
        this.know(seq, sha256);
        return parseRecord(key, seq, bytes).record;
      }
      const existing = await this.readOne(seq, signal);
      if (!existing) throw new LogDamaged(key, 'the store said that it exists, but it cannot be found');
      const found = existing.record;
      if (found.writer !== this.writer) throw new LogConflict(this.prefix, seq, found);
      // An earlier append of our own got no answer, but succeeded.
      this.know(seq, existing.sha256);
      if (found.kind === kind && JSON.stringify(payloadOf(found)) === content) return found;
    }
  }

  /**
   * Every record after a sequence number, in order, up to the present end of the log.
   * @param options.after default 0: from the start
   * @throws LogDamaged if a record in between is missing or unreadable or does not follow the one before it, or if record `after` itself is missing
   */
  async *read({ after = 0, signal }: { after?: number } & SignalOption = {}): AsyncGenerator<LogRecord, void> {
    // The end is where the listing ends, and not the first record that is missing: otherwise the next append would be written into a hole. The listing
    // begins with record `after`, so that the loss of the newest records is noticed too.
    let seq = Math.max(0, after - 1);
    // Record `after` is only read if its SHA-256 is not known.
    const first = this.sha256Of(after) === undefined ? after : after + 1;
    const ahead: Promise<SealedRecord>[] = [];
    const options = { after: seq === 0 ? undefined : seqKey(this.prefix, seq), signal };
    for await (const { key } of listAll(this.store, `${this.prefix}/`, options)) {
      const listed = this.seqOf(key);
      // A listing that runs during appends may contain a record but not the one before it; records that are missing in the listing are read by key.
      while (seq < listed) {
        seq++;
        if (seq < first && seq === listed) continue;
        ahead.push(quietly(this.readListed(seq, key, signal)));
        if (ahead.length === READ_AHEAD) yield* this.seenAfter(after, first, await ahead.shift()!);
      }
    }
    while (ahead.length > 0) yield* this.seenAfter(after, first, await ahead.shift()!);
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
    const found = await this.readOne(seq + 1, signal);
    if (found) return await this.seenNext(found, signal);
    const options = { after: seq > 1 ? seqKey(this.prefix, seq - 1) : undefined, limit: 2, signal };
    const { objects } = await this.store.list(`${this.prefix}/`, options);
    const later = objects.find(({ key }) => this.seqOf(key) > seq);
    if (later !== undefined) return await this.seenNext(await this.readListed(seq + 1, later.key, signal), signal);
    if (seq > 0 && objects.length === 0) throw new LogDamaged(seqKey(this.prefix, seq), 'it was read before, and is missing now');
    return undefined;
  }

  /** Whether there is a record with this number: the cheapest look at a log. It tells neither a hole from the end nor damage from a record. */
  async has(seq: number, options?: SignalOption): Promise<boolean> {
    return await objectExists(this.store, seqKey(this.prefix, seq), options);
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
      if (newest && newest.record.kind === kind && JSON.stringify(payloadOf(newest.record)) === content) return;
      const at = this.wallClock();
      const previous = last === 0 ? '' : (newest?.sha256 ?? UNKNOWN_SHA256);
      const head = { seq: last + 1, writer: this.writer, previous, kind };
      const record: LogRecord = { ...head, ...(at === undefined ? {} : { at }), ...payload };
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
    const last = this.sha256Of(seq) ?? (await this.readListed(seq, 'a snapshot of it', signal)).sha256;
    const { bytes } = sealJson({ seq, last, state }, SEAL);
    if (bytes.length > this.maxSnapshotBytes) throw new RecordTooLarge('snapshot', bytes.length, this.maxSnapshotBytes);
    await createExclusive(this.store, seqKey(this.snapshotPrefix, seq), bytes, { contentType: 'application/json', signal });
    const keys = await this.snapshotKeys(signal);
    for (const key of keys.slice(0, -SNAPSHOTS_KEPT)) await this.store.delete(key, { signal });
  }

  /**
   * The newest valid snapshot; continue with `read({ after: snapshot.seq })`. A snapshot spares reading the records before it, but not that they exist:
   * their keys are listed.
   * @throws LogDamaged if one of them is missing
   */
  async readSnapshot({ signal }: SignalOption = {}): Promise<LogSnapshot | undefined> {
    for (const key of (await this.snapshotKeys(signal)).reverse()) {
      try {
        const { bytes } = await this.store.get(key, { maxBytes: this.maxSnapshotBytes, signal });
        const { seq, last, state } = unsealJson(bytes, SEAL).value as LogSnapshot;
        if (key !== seqKey(this.snapshotPrefix, seq) || !isSha256(last)) continue;
        await this.requireAllUpTo(seq, signal);
        if (seq > this.known) this.know(seq, last);
        return { seq, last, state };
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

  /** Numbers have no gaps, so it is known where each page of keys begins. @throws LogDamaged for the first number up to `last` without a record */
  private async requireAllUpTo(last: number, signal: AbortSignal | undefined): Promise<void> {
    const pages: Promise<void>[] = [];
    const size = this.store.maxListed ?? MAX_LIST_LIMIT;
    for (let from = 0; from < last; from += size) {
      if (pages.length === PAGES_AT_ONCE) await pages.shift();
      pages.push(quietly(this.requirePage(from, Math.min(last, from + size), signal)));
    }
    for (const page of pages) await page;
  }

  private async requirePage(from: number, last: number, signal: AbortSignal | undefined): Promise<void> {
    const options = { after: from === 0 ? undefined : seqKey(this.prefix, from), limit: last - from, signal };
    const { objects } = await this.store.list(`${this.prefix}/`, options);
    const listed = new Set(objects.map(({ key }) => this.seqOf(key)));
    for (let seq = from + 1; seq <= last; seq++) if (!listed.has(seq)) await this.requireOne(seq, signal);
  }

  /** For a record that is not in a listing. */
  private async requireOne(seq: number, signal: AbortSignal | undefined): Promise<void> {
    const key = seqKey(this.prefix, seq);
    await this.store.head(key, { signal }).catch((error) => {
      throw error instanceof ObjectNotFound ? new LogDamaged(key, 'it is missing, although a later snapshot exists', error) : error;
    });
  }

  private know(seq: number, sha256: string): void {
    this.known = seq;
    this.knownSha256 = sha256;
    this.recent.set(seq, sha256);
  }

  /** SHA-256 of a record that was read or written lately. */
  private sha256Of(seq: number): string | undefined {
    if (seq === 0) return '';
    return seq === this.known ? this.knownSha256 : this.recent.get(seq);
  }

  /** @throws LogDamaged if the record does not follow the one before it, as far as that one is known */
  private seen({ record, sha256 }: SealedRecord): LogRecord {
    const key = seqKey(this.prefix, record.seq);
    const before = this.sha256Of(record.seq - 1);
    if (before !== undefined && !follows(record, before)) {
      const why = `it follows a record with SHA-256 ${record.previous || '(none)'}, but that of ${seqKey(this.prefix, record.seq - 1)} is ${before || '(none)'}`;
      throw new LogDamaged(key, `${why}: one of the two was lost and written again`);
    }
    const earlier = this.sha256Of(record.seq);
    if (earlier !== undefined && earlier !== sha256)
      throw new LogDamaged(key, `it has SHA-256 ${sha256}, but when it was read before, it had ${earlier}: it was lost and written again`);
    if (record.seq === this.known + 1) this.know(record.seq, sha256);
    else this.recent.set(record.seq, sha256);
    return record;
  }

  private *seenAfter(after: number, first: number, sealed: SealedRecord): Generator<LogRecord, void> {
    if (sealed.record.seq < first) return;
    const record = this.seen(sealed);
    if (record.seq > after) yield record;
  }

  /** Like `seen`; if the record before it is not known, that one is read. */
  private async seenNext(sealed: SealedRecord, signal: AbortSignal | undefined): Promise<LogRecord> {
    const before = sealed.record.seq - 1;
    if (this.sha256Of(before) === undefined && sealed.record.previous !== UNKNOWN_SHA256)
      this.seen(await this.readListed(before, seqKey(this.prefix, before + 1), signal));
    return this.seen(sealed);
  }

  private seqOf(key: string): number {
    const name = key.slice(this.prefix.length + 1);
    if (!SEQ_KEY.test(name)) throw new LogDamaged(key, 'it is not a record of a log');
    return Number(name);
  }

  private async readListed(seq: number, listed: string, signal?: AbortSignal): Promise<SealedRecord> {
    const record = await this.readOne(seq, signal);
    if (!record) throw new LogDamaged(seqKey(this.prefix, seq), `it is missing, although record ${listed} exists`);
    return record;
  }

  private async readOne(seq: number, signal?: AbortSignal): Promise<SealedRecord | undefined> {
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
  const { seq: _seq, writer: _writer, previous: _previous, kind: _kind, at: _at, ...payload } = record;
  return payload;
}

/** Whether a record was appended after the one with this SHA-256. One that was appended to a damaged log may follow any other. */
export const follows = ({ previous }: LogRecord, sha256: string): boolean => previous === sha256 || previous === UNKNOWN_SHA256;

/** @throws LogDamaged, with the broken seal as its cause if the bytes were changed */
export function parseRecord(key: string, seq: number, bytes: Buffer): SealedRecord {
  let value: unknown;
  let sha256: string;
  try {
    ({ value, sha256 } = unsealJson(bytes, SEAL));
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
    (seq === 1 ? record.previous !== '' : !isSha256(record.previous)) ||
    typeof record.kind !== 'string'
  ) {
    throw new LogDamaged(key, `it is not record ${seq} of a log`);
  }
  return { record, sha256 };
}
