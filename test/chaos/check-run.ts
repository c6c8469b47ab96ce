/** What must be true of a run when it is over, whatever happened on the way. */
import { createHash } from 'node:crypto';
import type { EvaluationResult } from '#protocol/dropstream/v1/evaluator.js';
import { type RunEvent, RunState, type StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { decodeManifest } from '#storage/checkpoint-manifest.js';
import { follows, LogDamaged, parseRecord, type SealedRecord } from '#storage/log-record.js';
import { listAll, ObjectNotFound, type ObjectStore } from '#storage/object-store.js';

/** What an undisturbed run with the same spec did. */
export interface Calm {
  /** By number. */
  readonly steps: ReadonlyMap<number, StepMetrics>;
  /** The result of the evaluation of each checkpoint at the end of an epoch, by its step. */
  readonly results: ReadonlyMap<number, EvaluationResult>;
}

/** Every event once and in order, and at its end a run that has succeeded. @returns what is wrong; nothing if all is well */
export function checkEvents(events: readonly RunEvent[]): string[] {
  const wrong: string[] = [];
  for (const [k, { sequence }] of events.entries()) {
    if (Number(sequence) !== k + 1) {
      wrong.push(`event ${k + 1} of the watch has the sequence ${sequence}`);
      break;
    }
  }
  const ends = events.filter(({ event }) => event?.$case === 'state' && terminal.has(event.value.state));
  if (ends.length > 1) wrong.push(`it ended ${ends.length} times`);
  const last = events.at(-1)?.event;
  if (last?.$case !== 'state' || last.value.state !== RunState.SUCCEEDED) {
    wrong.push(`it ended with ${last?.$case === 'state' ? `${RunState[last.value.state]}: ${last.value.reason}` : last?.$case}`);
  }
  return wrong;
}

const terminal = new Set([RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]);

const RECORD = /^(.*)\/log\/(\d{12})$/;

/** Kinds of records that only the owner of the newest claim writes: first those of runs, then those of evaluations. */
const OWNERS = new Set([
  ...['resumed', 'steps', 'epoch', 'checkpoint', 'dataSkipped', 'scheduleChanged', 'cutoffMeasured', 'checkpointSkipped', 'evaluation'],
  ...['progress', 'succeeded', 'failed', 'released'],
]);

/**
 * Reads the records themselves, of a run or an evaluation: no gap, each one whole and after the one before it, and every record of a worker by the
 * owner of the newest claim.
 * @param folder `<name>/<uid>`
 */
export async function checkLogs(store: ObjectStore, folder: string): Promise<{ wrong: string[]; claims: number }> {
  const wrong: string[] = [];
  let claims = 0;
  const logs = new Map<string, string[]>();
  for await (const { key } of listAll(store, `${folder}/`)) {
    const prefix = RECORD.exec(key)?.[1];
    if (prefix !== undefined) logs.set(prefix, [...(logs.get(prefix) ?? []), key]);
  }
  if (logs.size === 0) wrong.push('the store has no log of it');
  for (const [prefix, keys] of logs) {
    let owner = '';
    let before = '';
    for (const [k, key] of keys.entries()) {
      const seq = Number(RECORD.exec(key)![2]);
      if (seq !== k + 1) wrong.push(`${prefix}: record ${seq} follows ${k}`);
      const sealed = await readRecord(store, key, seq);
      if (typeof sealed === 'string') {
        wrong.push(sealed);
        break;
      }
      const { writer, kind } = sealed.record;
      if (!follows(sealed.record, before)) wrong.push(`${prefix}: record ${seq} does not name the one before it`);
      before = sealed.sha256;
      if (kind === 'claimed') {
        owner = writer;
        claims++;
      }
      if (OWNERS.has(kind) && writer !== owner) wrong.push(`${prefix}: record ${seq} (${kind}) is not by the owner of the newest claim`);
    }
  }
  return { wrong, claims };
}

/** @returns what is wrong with it if it is damaged */
async function readRecord(store: ObjectStore, key: string, seq: number): Promise<SealedRecord | string> {
  const { bytes } = await store.get(key);
  try {
    return parseRecord(key, seq, bytes);
  } catch (error) {
    if (error instanceof LogDamaged) return error.message;
    throw error;
  }
}

/**
 * Every checkpoint that has a manifest has all of its parts, with the hashes that the manifest names, except for the parts that were damaged. A worker
 * that has just been thawed may still delete old checkpoints meanwhile: each one's manifest first, so that it is not a checkpoint any more.
 * @param folder `<name>/<uid>`
 */
export async function checkCheckpoints(store: ObjectStore, folder: string, damaged: ReadonlySet<string>): Promise<string[]> {
  const wrong: string[] = [];
  for await (const { key } of listAll(store, `${folder}/`)) {
    if (!key.endsWith('/manifest.json')) continue;
    const encoded = await readIfThere(store, key);
    if (encoded === undefined) continue;
    for (const { key: partKey, sha256 } of decodeManifest(key, encoded).manifest.parts) {
      if (damaged.has(partKey)) continue;
      const bytes = await readIfThere(store, partKey);
      if (bytes !== undefined && createHash('sha256').update(bytes).digest('hex') !== sha256) wrong.push(`${partKey} is damaged`);
      if (bytes === undefined && (await readIfThere(store, key)) !== undefined)
        wrong.push(`${partKey} is missing, although ${key} names it`);
    }
  }
  return wrong;
}

async function readIfThere(store: ObjectStore, key: string): Promise<Buffer | undefined> {
  try {
    return (await store.get(key)).bytes;
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    throw error;
  }
}

/** Attempts skip only checkpoints that were damaged on purpose. */
export function checkSkipped(events: readonly RunEvent[], damaged: ReadonlySet<string>): string[] {
  return events.flatMap(({ event }) =>
    event?.$case === 'checkpointSkipped' && !damaged.has(event.value.checkpoint)
      ? [`${event.value.checkpoint}, which nobody damaged, was skipped: ${event.value.reason}`]
      : [],
  );
}
