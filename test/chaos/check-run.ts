/** What must be true of a run when it is over, whatever happened on the way. */
import { createHash } from 'node:crypto';
import type { EvaluationResult } from '#protocol/dropstream/v1/evaluator.js';
import { type RunEvent, RunState, type StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { decodeManifest } from '#storage/checkpoint-manifest.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { history } from '../support/training.js';

/** What an undisturbed run with the same spec did. */
export interface Calm {
  /** By number. */
  readonly steps: ReadonlyMap<number, StepMetrics>;
  /** The result of the evaluation of each checkpoint at the end of an epoch, by its step. */
  readonly results: ReadonlyMap<number, EvaluationResult>;
}

/** @returns what is wrong; nothing if all is well */
export function checkEvents(events: readonly RunEvent[], calm: Calm, { sameLosses }: { readonly sameLosses: boolean }): string[] {
  const wrong: string[] = [];
  for (const [k, { sequence }] of events.entries()) {
    if (Number(sequence) !== k + 1) {
      wrong.push(`event ${k + 1} of the watch has the sequence ${sequence}`);
      break;
    }
  }
  const last = events.at(-1)?.event;
  if (last?.$case !== 'state' || last.value.state !== RunState.SUCCEEDED) {
    wrong.push(`it ended with ${last?.$case === 'state' ? `${RunState[last.value.state]}: ${last.value.reason}` : last?.$case}`);
  }
  const steps = history(events);
  if (steps.size !== calm.steps.size) wrong.push(`it has ${steps.size} steps instead of ${calm.steps.size}`);
  for (const [step, expected] of calm.steps) {
    const actual = steps.get(step);
    if (actual === undefined) wrong.push(`step ${step} is missing`);
    else {
      if (hashes(actual) !== hashes(expected)) wrong.push(`step ${step} was trained on other batches`);
      if (sameLosses && !(Object.is(actual.loss, expected.loss) && Object.is(actual.gradNorm, expected.gradNorm))) {
        wrong.push(
          `step ${step} has the loss ${actual.loss} and gradient norm ${actual.gradNorm} instead of ${expected.loss} and ${expected.gradNorm}`,
        );
      }
    }
    if (wrong.length > 5) break;
  }
  return wrong;
}

const hashes = ({ batchSha256 }: StepMetrics): string => batchSha256.map((hash) => Buffer.from(hash).toString('hex')).join();

interface RawRecord {
  readonly seq: number;
  readonly writer: string;
  readonly kind: string;
}

const RECORD = /^(.*)\/log\/(\d{12})$/;

/** Kinds of records that only the owner of the newest claim writes: first those of runs, then those of evaluations. */
const OWNERS = new Set([
  ...['resumed', 'steps', 'epoch', 'checkpoint', 'dataSkipped', 'scheduleChanged', 'checkpointSkipped', 'evaluation'],
  ...['progress', 'succeeded', 'failed', 'released'],
]);

/**
 * Reads the records themselves, of a run or an evaluation: no gap, no record after the end, and every record of a worker by the owner of the newest
 * claim.
 */
export async function checkLogs(store: ObjectStore, name: string): Promise<{ wrong: string[]; claims: number }> {
  const wrong: string[] = [];
  let claims = 0;
  const logs = new Map<string, RawRecord[]>();
  for await (const { key } of listAll(store, `${name}/`)) {
    const prefix = RECORD.exec(key)?.[1];
    if (prefix === undefined) continue;
    const record = JSON.parse((await store.get(key)).bytes.toString()) as RawRecord;
    logs.set(prefix, [...(logs.get(prefix) ?? []), record]);
  }
  if (logs.size === 0) wrong.push('the store has no log of it');
  for (const [prefix, records] of logs) {
    let owner = '';
    for (const [k, { seq, writer, kind }] of records.entries()) {
      if (seq !== k + 1) wrong.push(`${prefix}: record ${seq} follows ${k}`);
      if (kind === 'claimed') {
        owner = writer;
        claims++;
      }
      if (OWNERS.has(kind) && writer !== owner) wrong.push(`${prefix}: record ${seq} (${kind}) is not by the owner of the newest claim`);
    }
  }
  return { wrong, claims };
}

/** Every checkpoint that has a manifest has all of its parts, with the hashes that the manifest names. */
export async function checkCheckpoints(store: ObjectStore, name: string, damaged: ReadonlySet<string>): Promise<string[]> {
  const wrong: string[] = [];
  for await (const { key } of listAll(store, `${name}/`)) {
    if (!key.endsWith('/manifest.json')) continue;
    const { manifest } = decodeManifest(key, (await store.get(key)).bytes);
    for (const { key: partKey, sha256 } of manifest.parts) {
      if (damaged.has(partKey)) continue;
      const bytes = await store.get(partKey).then(
        (found) => found.bytes,
        () => undefined,
      );
      if (bytes === undefined) wrong.push(`${partKey} is missing, although ${key} names it`);
      else if (createHash('sha256').update(bytes).digest('hex') !== sha256) wrong.push(`${partKey} is damaged`);
    }
  }
  return wrong;
}
