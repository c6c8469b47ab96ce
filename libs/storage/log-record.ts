/** One record of a log: its fields, how it is stored, and what can be wrong with it. */
import { isSha256 } from './content-hash.js';
import { StorageError } from './object-store.js';
import { SealBroken, sealJson, unsealJson } from './sealed-json.js';

export type JsonValue = null | boolean | number | string | JsonValue[] | { [name: string]: JsonValue | undefined };
export type JsonObject = { [name: string]: JsonValue | undefined };

/**
 * All fields but seq, writer, previous, kind and at come from the appender. A record is stored with its SHA-256 in a last field, `sha256`.
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

/** A record as it was read. */
export interface SealedRecord {
  readonly record: LogRecord;
  readonly sha256: string;
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

/** The field of a stored record or snapshot that has its SHA-256. */
export const SEAL = 'sha256';
const RESERVED = ['seq', 'writer', 'previous', 'kind', 'at', SEAL] as const;
const SEQ_DIGITS = 12;
export const MAX_SEQ = 10 ** SEQ_DIGITS - 1;
const SEQ_KEY = new RegExp(`^\\d{${SEQ_DIGITS}}$`);
/** Stands for the SHA-256 of a record that cannot be read. The record that has it was appended to a damaged log, and may follow any other. */
export const UNKNOWN_SHA256 = '0'.repeat(64);

export const seqKey = (prefix: string, seq: number): string => `${prefix}/${String(seq).padStart(SEQ_DIGITS, '0')}`;

/** The sequence number of a key below `prefix`; undefined if the key is not that of a record. */
export function seqIn(prefix: string, key: string): number | undefined {
  const name = key.slice(prefix.length + 1);
  return SEQ_KEY.test(name) ? Number(name) : undefined;
}

/** @throws LogDamaged if the key is not that of a record */
export function seqOf(prefix: string, key: string): number {
  const seq = seqIn(prefix, key);
  if (seq === undefined) throw new LogDamaged(key, 'it is not a record of a log');
  return seq;
}

/** @throws TypeError for a field that every record has */
export function checkPayload(kind: string, payload: JsonObject): void {
  for (const name of RESERVED) if (name in payload) throw new TypeError(`a ${kind} record cannot have a field of its own named ${name}`);
}

/** @param at is left out if it is undefined */
export function sealRecord(
  head: Pick<LogRecord, 'seq' | 'writer' | 'previous' | 'kind'>,
  at: number | undefined,
  payload: JsonObject,
): { bytes: Buffer; sha256: string } {
  return sealJson({ ...head, ...(at === undefined ? {} : { at }), ...payload } satisfies LogRecord, SEAL);
}

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

export function payloadOf(record: LogRecord): JsonObject {
  const { seq: _seq, writer: _writer, previous: _previous, kind: _kind, at: _at, ...payload } = record;
  return payload;
}

/** Whether a record was appended after the one with this SHA-256. One that was appended to a damaged log may follow any other. */
export const follows = ({ previous }: LogRecord, sha256: string): boolean => previous === sha256 || previous === UNKNOWN_SHA256;
