import { createHash } from 'node:crypto';
import { z } from 'zod';
import { StorageError } from './object-store.js';
import type { JsonObject, JsonValue } from './record-log.js';

/** A part, or the manifest, is not what was committed. `actual` is the SHA-256 found, or what is wrong in words. */
export class CheckpointDamaged extends StorageError {
  constructor(
    readonly part: string,
    readonly expected: string,
    readonly actual: string,
    cause?: unknown,
  ) {
    super(`checkpoint part ${part} is damaged: expected ${expected}, found ${actual}`, cause === undefined ? undefined : { cause });
  }
}

export const FORMAT_VERSION = 1;
/** What a checkpoint may hold: a group of tensors is one file, or several where it would reach 1 GiB. */
export const GROUPS = ['weights', 'ema', 'optimizer'] as const;
export type Group = (typeof GROUPS)[number];

export interface CheckpointPart {
  group: Group;
  /** The whole key in the store; its name holds the beginning of the hash. */
  key: string;
  sha256: string;
  sizeBytes: number;
  /** Names, in the order of the file. */
  tensors: string[];
}

/** What stands beside the tensors; all of it is the trainer's but the parts. Steps and epochs count from 0 = before training. */
export interface CheckpointState {
  /** Optimizer steps done. */
  step: number;
  /** Epoch that the next step belongs to; fractions of it are in epochAccumulators. */
  epoch: number;
  /** The last record of the run's log that this state has taken in. */
  logSequence: number;
  /** Numerics: executor, precision, kernel path, build. Equal ones promise equal bits. */
  fingerprint: string;
  epochAccumulators: JsonValue;
  best: JsonValue;
  metadata?: JsonObject;
}

export interface CheckpointManifest extends CheckpointState {
  formatVersion: typeof FORMAT_VERSION;
  parts: CheckpointPart[];
}

const count = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const schema = z.object({
  formatVersion: z.literal(FORMAT_VERSION),
  step: count,
  epoch: z.number().nonnegative(),
  logSequence: count,
  fingerprint: z.string(),
  epochAccumulators: z.json(),
  best: z.json(),
  metadata: z.record(z.string(), z.json()).optional(),
  parts: z
    .array(
      z.object({
        group: z.enum(GROUPS),
        key: z.string(),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
        sizeBytes: count,
        tensors: z.array(z.string()),
      }),
    )
    .max(10_000),
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The manifest as JSON with its own SHA-256 as the last field. */
export function encodeManifest(manifest: CheckpointManifest): { bytes: Buffer; sha256: string } {
  const body = JSON.stringify(manifest);
  const hash = sha256(body);
  return { bytes: Buffer.from(`${body.slice(0, -1)},"manifestSha256":"${hash}"}`), sha256: hash };
}

/** @throws CheckpointDamaged when it is not exactly what was written, or of a format version that this build cannot read */
export function decodeManifest(key: string, bytes: Buffer): { manifest: CheckpointManifest; sha256: string } {
  const text = bytes.toString('utf8');
  const found = /^(.*),"manifestSha256":"([0-9a-f]{64})"\}$/s.exec(text);
  if (!found) throw new CheckpointDamaged(key, 'a manifest with its hash', 'other text');
  const [, body, expected] = found;
  const actual = sha256(`${body}}`);
  if (actual !== expected) throw new CheckpointDamaged(key, expected!, actual);
  const parsed = schema.safeParse(JSON.parse(`${body}}`));
  if (!parsed.success) throw new CheckpointDamaged(key, `format version ${FORMAT_VERSION}`, z.prettifyError(parsed.error), parsed.error);
  return { manifest: parsed.data as CheckpointManifest, sha256: actual };
}
