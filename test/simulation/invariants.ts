/** What must hold after every single call, whoever made it. */
import { type Monitor, Violation } from './execution.js';

interface Seen {
  readonly mark: number;
  /** Writer of the newest claim. */
  owner: string;
  ended: boolean;
  readonly bodies: Map<number, string>;
  /** Numbers of records that the scenario took away. */
  readonly lost: Set<number>;
}

const RECORD = /^(.*)\/log\/(\d{12})$/;
const INCARNATION = /\/incarnations\/\d{8}\.json$/;
const ended = new Set(['RUN_STATE_SUCCEEDED', 'RUN_STATE_FAILED', 'RUN_STATE_CANCELLED']);

interface StoredRecord {
  readonly writer: string;
  readonly kind: string;
  readonly created?: { readonly specDigest: string };
  readonly steps?: { readonly steps: readonly { readonly loss?: number }[] };
  readonly state?: { readonly state: string };
}

/**
 * One linear history in every log: each number is written once and right after the one before, by the creator, by the owner of the newest claim, or by
 * whoever ends the run; nothing follows the end; a log holds the records of one training. Below a uid that has a tombstone nobody reads, so nothing there
 * matters. Nor does what is written where a record was lost: a process that was about to create a record of that number cannot know, and readers find
 * that the next record does not follow it.
 */
export function linearHistories(): Monitor {
  const logs = new Map<string, Seen>();
  const buried = new Set<string>();
  return (call, answer, process) => {
    if (answer.error) return;
    if (call.kind === 'delete') {
      const [, prefix = '', digits] = RECORD.exec(call.key) ?? [];
      logs.get(prefix)?.lost.add(Number(digits));
    }
    if (call.kind !== 'put') return;
    if (INCARNATION.test(call.key)) {
      const { uid, deleted } = JSON.parse(call.bytes.toString()) as { uid: string; deleted: boolean };
      if (deleted) buried.add(uid);
    }
    const match = RECORD.exec(call.key);
    if (!match) return;
    const [, prefix = '', digits] = match;
    if (buried.has(prefix.slice(prefix.lastIndexOf('/') + 1))) return;
    const sequence = Number(digits);
    const text = call.bytes.toString();
    const record = JSON.parse(text) as StoredRecord;
    const fail = (what: string): never => {
      throw new Violation(`record ${sequence} (${record.kind}) of ${prefix}, written by ${process}: ${what}`);
    };
    let log = logs.get(prefix);
    if (sequence === 1 && record.kind === 'created' && log === undefined) {
      log = { mark: Number(record.created?.specDigest.slice('mark '.length)), owner: '', ended: false, bodies: new Map(), lost: new Set() };
      logs.set(prefix, log);
    }
    if (log === undefined) return fail('the log has no beginning');
    const before = log.bodies.get(sequence);
    if (before === text || log.lost.has(sequence)) return;
    if (before !== undefined) fail(`it was written before, as ${before}`);
    if (sequence !== log.bodies.size + 1) fail(`it does not follow record ${log.bodies.size}`);
    if (log.ended) fail('the log has ended');
    log.bodies.set(sequence, text);
    if (record.kind === 'claimed') log.owner = record.writer;
    if (record.kind === 'steps') {
      if (record.writer !== log.owner) fail('another worker has claimed the run since');
      const marks = record.steps?.steps.map(({ loss }) => loss ?? 0) ?? [];
      for (const mark of marks) if (mark !== log.mark) fail(`it belongs to training ${mark}, but the log to training ${log.mark}`);
    }
    if (record.kind === 'state' && record.state && ended.has(record.state.state)) log.ended = true;
  };
}

/** Several monitors as one. */
export const every =
  (...monitors: readonly Monitor[]): Monitor =>
  (call, answer, process) => {
    for (const monitor of monitors) monitor(call, answer, process);
  };
