import { z } from 'zod';
import { isSha256, sha256Rule } from './content-hash.js';
import type { JsonObject, JsonValue } from './log-record.js';
import { StorageError } from './object-store.js';
import { SealBroken, sealJson, unsealJson } from './sealed-json.js';

/** A part or the manifest differs from what was committed. `actual` is the SHA-256 found, or a description of the fault. */
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
/** The groups of tensors in a checkpoint. A group is one file, or several if it would reach 1 GiB. */
export const GROUPS = ['weights', 'ema', 'optimizer'] as const;
export type Group = (typeof GROUPS)[number];

export interface CheckpointPart {
  group: Group;
  /** The full key in the store. Its name contains the beginning of the hash. */
  key: string;
  sha256: string;
  sizeBytes: number;
  /** Names of the tensors, in the order of the file. */
  tensors: string[];
}

/** The state beside the tensors; everything but the parts is the trainer's. Steps and epochs count from 0, which is before training. */
export interface CheckpointState {
  /** Number of optimizer steps done. */
  step: number;
  /** Epoch of the next step; a fraction of it that is done is in epochAccumulators. */
  epoch: number;
  /** Sequence number of the last record of the run's log that this state includes. */
  logSequence: number;
  /** Fingerprint of the numerics: executor, precision, kernel path and build. Equal fingerprints promise equal bits. */
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
        sha256: z.string().refine(isSha256, sha256Rule),
        sizeBytes: count,
        tensors: z.array(z.string()),
      }),
    )
    .max(10_000),
});

/** A manifest is created in one request and read as a whole. */
export const MAX_MANIFEST_BYTES = 16 << 20;
const SEAL = 'manifestSha256';

/** This manifest could not be read back, so it is rejected before anything refers to it. */
class InvalidManifest extends StorageError {
  constructor(readonly why: string) {
    super(`a checkpoint's manifest is rejected: ${why}`);
  }
}

/** The manifest as JSON with its own SHA-256 as the last field. @throws InvalidManifest if `decodeManifest` would reject it */
export function encodeManifest(manifest: CheckpointManifest): { bytes: Buffer; sha256: string } {
  const sealed = sealJson(manifest, SEAL);
  if (sealed.bytes.length > MAX_MANIFEST_BYTES)
    throw new InvalidManifest(`it has ${sealed.bytes.length} bytes, at most ${MAX_MANIFEST_BYTES} are allowed`);
  const parsed = schema.safeParse(unsealJson(sealed.bytes, SEAL).value);
  if (!parsed.success) throw new InvalidManifest(z.prettifyError(parsed.error));
  return sealed;
}

/** @throws CheckpointDamaged if the bytes are not exactly what was written, or have a format version that this build cannot read */
export function decodeManifest(key: string, bytes: Buffer): { manifest: CheckpointManifest; sha256: string } {
  let unsealed: { value: unknown; sha256: string };
  try {
    unsealed = unsealJson(bytes, SEAL);
  } catch (error) {
    if (error instanceof SealBroken) throw new CheckpointDamaged(key, error.expected, error.actual, error);
    throw error;
  }
  const parsed = schema.safeParse(unsealed.value);
  if (!parsed.success) throw new CheckpointDamaged(key, `format version ${FORMAT_VERSION}`, z.prettifyError(parsed.error), parsed.error);
  return { manifest: parsed.data as CheckpointManifest, sha256: unsealed.sha256 };
}
