/** Checks the log of one incarnation of a run or an evaluation, record by record, and remembers what the check of the rest needs. */

import { quietly } from '#bounds/quietly.js';
import { RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { follows, LogDamaged, type LogRecord, parseRecord, type SealedRecord } from '#storage/log-record.js';
import { SealBroken } from '#storage/sealed-json.js';
import { type CheckContext, readObject, type StoredObject } from './check-context.js';

/** Larger than any record that a service writes. */
const maxRecordBytes = 16 << 20;
const readAhead = 16;

export interface LogFacts {
  /** Number of the newest record; 0 for no log. */
  readonly last: number;
  /** Number of the newest claim; 0 for none. */
  readonly claim: number;
  readonly ended: boolean;
  /** True while the work waits for a worker or is worked on, so that it must be in the queue. */
  readonly queued: boolean;
  /** False if a record could not be read, so that the other facts may be wrong. */
  readonly whole: boolean;
  /** Ids of all checkpoints that the log names. */
  readonly checkpoints: ReadonlySet<string>;
  readonly newestCheckpoint: string | undefined;
}

export class LogCheck {
  readonly #reading: { seq: number; bytes: Promise<Buffer | undefined>; object: StoredObject }[] = [];
  readonly #checkpoints = new Set<string>();
  #last = 0;
  /** The record before the one that is checked; undefined if it is missing or unreadable. */
  #before: { readonly seq: number; readonly sha256: string } | undefined = { seq: 0, sha256: '' };
  #claim = 0;
  #ended = false;
  #queued = false;
  #whole = true;
  #newestCheckpoint: string | undefined;

  constructor(
    private readonly context: CheckContext,
    private readonly owner: { readonly name: string; readonly uid: string; readonly collection: string },
  ) {}

  /** Takes the objects of the log in the order of their keys. */
  async take(object: StoredObject): Promise<void> {
    const seq = Number(object.parsed.parts.number);
    const bytes = quietly(readObject(this.context, object.parsed.key, maxRecordBytes));
    this.#reading.push({ seq, bytes, object });
    if (this.#reading.length >= readAhead) await this.#next();
  }

  async finish(): Promise<LogFacts> {
    while (this.#reading.length > 0) await this.#next();
    return {
      last: this.#last,
      claim: this.#claim,
      ended: this.#ended,
      queued: this.#queued,
      whole: this.#whole,
      checkpoints: this.#checkpoints,
      newestCheckpoint: this.#newestCheckpoint,
    };
  }

  async #next(): Promise<void> {
    const { seq, bytes, object } = this.#reading.shift()!;
    const { key } = object.parsed;
    for (let missing = this.#last + 1; missing < seq; missing++) await this.#look(key, missing);
    this.#last = seq;
    const found = await bytes;
    if (found === undefined) this.#whole = false;
    else this.#check(key, seq, found);
  }

  /** A record that the listing lacks may have been written while it ran. */
  async #look(key: string, missing: number): Promise<void> {
    const where = `${key.slice(0, -12)}${String(missing).padStart(12, '0')}`;
    const found = await readObject(this.context, where, maxRecordBytes);
    if (found !== undefined) return this.#check(where, missing, found);
    this.#whole = false;
    this.context.report({ kind: 'record-missing', where, detail: `the log goes on with ${key.slice(-12)}` });
  }

  #check(key: string, seq: number, bytes: Buffer): void {
    let sealed: SealedRecord;
    try {
      sealed = parseRecord(key, seq, bytes);
    } catch (error) {
      if (!(error instanceof LogDamaged)) throw error;
      this.#whole = false;
      const kind = error.cause instanceof SealBroken ? 'record-unreadable' : 'record-misplaced';
      this.context.report({ kind, where: key, detail: error.why });
      return;
    }
    const { record, sha256 } = sealed;
    const before = this.#before;
    this.#before = { seq, sha256 };
    if (before?.seq === seq - 1 && !follows(record, before.sha256))
      this.#misplaced(key, `it does not follow record ${seq - 1}: one of the two was lost and written again`);
    try {
      if (this.owner.collection === 'runs') this.#runRecord(key, record);
      else this.#evaluationRecord(key, record);
    } catch (error) {
      this.#whole = false;
      this.context.report({ kind: 'record-unreadable', where: key, detail: `it is not a record of its kind: ${(error as Error).message}` });
    }
  }

  #runRecord(key: string, record: LogRecord): void {
    const { event } = RunEvent.fromJSON(record);
    switch (event?.$case) {
      case 'created':
        this.#first(key, record.seq, event.value.run);
        this.#queued = true;
        break;
      case 'claimed':
        this.#claim = record.seq;
        this.#queued = true;
        break;
      case 'state': {
        const { state } = event.value;
        this.#ended = [RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED].includes(state);
        this.#queued = state === RunState.QUEUED || state === RunState.RUNNING;
        break;
      }
      case 'checkpoint': {
        const { checkpoint } = event.value;
        const folder = `${this.owner.name}/checkpoints/`;
        const id = checkpoint.slice(folder.length);
        if (!checkpoint.startsWith(folder) || !/^\d{12}-[0-9a-f]{8}$/.test(id)) {
          this.#misplaced(key, `it names the checkpoint ${checkpoint}`);
          break;
        }
        this.#newestCheckpoint = id;
        this.#checkpoints.add(id);
        break;
      }
    }
    if (record.seq === 1 && event?.$case !== 'created') this.#misplaced(key, `the log begins with ${record.kind} and not with created`);
  }

  #evaluationRecord(key: string, record: LogRecord): void {
    switch (record.kind) {
      case 'created':
        this.#first(key, record.seq, record.evaluation as { name?: string; uid?: string } | undefined);
        this.#queued = true;
        break;
      case 'claimed':
        this.#claim = record.seq;
        break;
      case 'succeeded':
      case 'failed':
      case 'cancelled':
        this.#ended = true;
        this.#queued = false;
        break;
    }
    if (record.seq === 1 && record.kind !== 'created') this.#misplaced(key, `the log begins with ${record.kind} and not with created`);
  }

  #first(key: string, seq: number, made: { name?: string; uid?: string } | undefined): void {
    const { name, uid } = this.owner;
    if (seq !== 1) this.#misplaced(key, `a created record is record ${seq}`);
    else if (made?.name !== name) this.#misplaced(key, `it creates ${made?.name || 'nothing'}`);
    else if (made.uid !== uid) this.#misplaced(key, `it creates the uid ${made.uid || '(none)'}`);
  }

  #misplaced(where: string, detail: string): void {
    this.#whole = false;
    this.context.report({ kind: 'record-misplaced', where, detail });
  }
}
