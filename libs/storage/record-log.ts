/** An append-only log in an object store: one object for each record, made by exclusive create. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { quietly } from '#bounds/quietly.js';
import { createExclusive } from './exclusive-create.js';
import {
  checkPayload,
  type JsonObject,
  type JsonValue,
  LogConflict,
  LogDamaged,
  type LogRecord,
  MAX_SEQ,
  parseRecord,
  payloadOf,
  RecordTooLarge,
  type SealedRecord,
  sealRecord,
  seqIn,
  seqKey,
  seqOf,
  UNKNOWN_SHA256,
} from './log-record.js';
import { type LogSnapshot, LogSnapshots } from './log-snapshots.js';
import {
  checkKey,
  listAll,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  objectExists,
  type SignalOption,
  StoreUnavailable,
} from './object-store.js';
import { RecordChain } from './record-chain.js';

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

const READ_AHEAD = 8;
const DAMAGED_ATTEMPTS = 16;

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
  private readonly wallClock: () => number | undefined;
  private readonly snapshots: LogSnapshots;
  private readonly chain: RecordChain;
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly store: ObjectStore,
    readonly prefix: string,
    options: RecordLogOptions = {},
  ) {
    checkKey(prefix);
    this.writer = options.writer ?? randomUUID();
    this.maxRecordBytes = options.maxRecordBytes ?? 1 << 20;
    this.wallClock = options.wallClock ?? Date.now;
    this.snapshots = new LogSnapshots(store, prefix, options.maxSnapshotBytes ?? 16 << 20);
    this.chain = new RecordChain(prefix);
  }

  /** The newest sequence number that this object has read or written; 0 if none. */
  get head(): number {
    return this.chain.head;
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
    checkPayload(kind, payload);
    const content = JSON.stringify(payload);
    for (;;) {
      const seq = this.chain.head + 1;
      const head = { seq, writer: this.writer, previous: this.chain.headSha256, kind };
      const { bytes, sha256 } = sealRecord(head, this.wallClock(), payload);
      if (bytes.length > this.maxRecordBytes) throw new RecordTooLarge(kind, bytes.length, this.maxRecordBytes);
      const key = seqKey(this.prefix, seq);
      if ((await createExclusive(this.store, key, bytes, { contentType: 'application/json', signal })) === 'created') {
        this.chain.advance(seq, sha256);
        return parseRecord(key, seq, bytes).record;
      }
      const existing = await this.readOne(seq, signal);
      if (!existing) throw new LogDamaged(key, 'the store said that it exists, but it cannot be found');
      const found = existing.record;
      if (found.writer !== this.writer) throw new LogConflict(this.prefix, seq, found);
      // An earlier append of our own got no answer, but succeeded.
      this.chain.advance(seq, existing.sha256);
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
    const first = this.chain.sha256Of(after) === undefined ? after : after + 1;
    const ahead: Promise<SealedRecord>[] = [];
    const options = { after: seq === 0 ? undefined : seqKey(this.prefix, seq), signal };
    for await (const { key } of listAll(this.store, `${this.prefix}/`, options)) {
      const listed = seqOf(this.prefix, key);
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
   * The records after `after` up to `until`, in order. The caller has seen that `until` exists, so nothing is listed.
   * @throws LogDamaged if one of them is missing or unreadable or does not follow the one before it
   */
  async *readTo({ after, until, signal }: { after: number; until: number } & SignalOption): AsyncGenerator<LogRecord, void> {
    // Record `after` is only read if its SHA-256 is not known.
    const first = this.chain.sha256Of(after) === undefined ? after : after + 1;
    const ahead: Promise<SealedRecord>[] = [];
    for (let seq = first; seq <= until; seq++) {
      ahead.push(quietly(this.readListed(seq, seqKey(this.prefix, until), signal)));
      if (ahead.length === READ_AHEAD) yield* this.seenAfter(after, first, await ahead.shift()!);
    }
    while (ahead.length > 0) yield* this.seenAfter(after, first, await ahead.shift()!);
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
    const later = objects.find(({ key }) => seqOf(this.prefix, key) > seq);
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
      for await (const { key } of listAll(this.store, `${this.prefix}/`, { signal })) last = Math.max(last, seqIn(this.prefix, key) ?? 0);
      const newest = await this.readOne(last, signal).catch((error) => {
        if (!(error instanceof LogDamaged)) throw error;
      });
      if (newest && newest.record.kind === kind && JSON.stringify(payloadOf(newest.record)) === content) return;
      const previous = last === 0 ? '' : (newest?.sha256 ?? UNKNOWN_SHA256);
      const { bytes } = sealRecord({ seq: last + 1, writer: this.writer, previous, kind }, this.wallClock(), payload);
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
    const last = this.chain.sha256Of(seq) ?? (await this.readListed(seq, 'a snapshot of it', signal)).sha256;
    await this.snapshots.write({ seq, last, state }, signal);
  }

  /**
   * The newest valid snapshot; continue with `read({ after: snapshot.seq })`. A snapshot spares reading the records before it, but not that they exist:
   * their keys are listed.
   * @throws LogDamaged if one of them is missing
   */
  async readSnapshot({ signal }: SignalOption = {}): Promise<LogSnapshot | undefined> {
    const newest = await this.snapshots.newest(signal);
    if (newest && newest.seq > this.chain.head) this.chain.advance(newest.seq, newest.last);
    return newest;
  }

  private *seenAfter(after: number, first: number, sealed: SealedRecord): Generator<LogRecord, void> {
    if (sealed.record.seq < first) return;
    const record = this.chain.take(sealed);
    if (record.seq > after) yield record;
  }

  /** Takes a record; if the record before it is not known, that one is read. */
  private async seenNext(sealed: SealedRecord, signal: AbortSignal | undefined): Promise<LogRecord> {
    const before = sealed.record.seq - 1;
    if (this.chain.sha256Of(before) === undefined && sealed.record.previous !== UNKNOWN_SHA256)
      this.chain.take(await this.readListed(before, seqKey(this.prefix, before + 1), signal));
    return this.chain.take(sealed);
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
