/** Encodes and decodes stored revisions: immutable objects `projects/P/schedules/S/<uid>/revisions/<12 digits>.json`. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { DataLoss } from '#errors/errors.js';
import type { Schedule } from '#protocol/dropstream/v1/scheduler.js';
import { fromStored, type StoredDropSchedule, storedDropSchedule } from '#spec/drop-schedules.js';

export const revisionFormat = 'dropstream.schedule-revision/2';

/** Number of updates that are remembered by their request ids. */
export const rememberedUpdates = 32;

const recordSchema = z.strictObject({
  format: z.literal(revisionFormat),
  name: z.string(),
  /** Which of the schedules that have had this name. */
  uid: z.string(),
  revision: z.number().int().min(1),
  /** digestOf the revision before; empty for the first one, and for the deletion of a schedule whose newest revision cannot be read. */
  previous: z.string().regex(/^([0-9a-f]{64})?$/),
  spec: storedDropSchedule,
  deleted: z.boolean(),
  create_time: z.iso.datetime(),
  /** Principal that stored the revision; absent if the service had no identities. */
  creator: z.string().optional(),
  /** Request id and spec of the CreateSchedule call, copied to later revisions, to recognise a repeated call. */
  creation: z.strictObject({ revision: z.number().int().min(1), request_id: z.string(), spec_sha256: z.string() }),
  /** The newest updates that had a request id, oldest first, to recognise a repeated call. */
  updates: z
    .array(z.strictObject({ request_id: z.string(), revision: z.number().int().min(1), digest: z.string() }))
    .max(rememberedUpdates),
  /** Distinguishes a retry of the same write from another writer's. */
  writer: z.string(),
});

export type RevisionRecord = z.output<typeof recordSchema>;

/** Equal records have equal bytes, whether they were read or are new. */
export function encodeRecord(record: RevisionRecord): Buffer {
  // Parsing gives the fields the order of the schema.
  return Buffer.from(`${JSON.stringify(recordSchema.parse(record))}\n`);
}

/** @throws DataLoss if the bytes are not the record of this key */
export function decodeRecord(
  key: string,
  bytes: Buffer,
  { name, uid, revision }: Pick<RevisionRecord, 'name' | 'uid' | 'revision'>,
): RevisionRecord {
  let record: RevisionRecord;
  let format: unknown;
  try {
    const parsed = JSON.parse(bytes.toString('utf8'));
    format = parsed?.format;
    record = recordSchema.parse(parsed);
  } catch (cause) {
    const ofAnother = typeof format === 'string' && format !== revisionFormat;
    throw new DataLoss(key, ofAnother ? `it has the format ${format}, this version reads ${revisionFormat}` : 'not a schedule revision', {
      cause,
    });
  }
  if (record.name !== name || record.uid !== uid || record.revision !== revision)
    throw new DataLoss(key, `holds revision ${record.revision} of ${record.name} with uid ${record.uid}`);
  return record;
}

/** SHA-256 of a stored record in hexadecimal. */
export function digestOf(record: RevisionRecord): string {
  let digest = digests.get(record);
  if (digest === undefined) {
    digest = createHash('sha256').update(encodeRecord(record)).digest('hex');
    digests.set(record, digest);
  }
  return digest;
}

/** Records never change, and lists show the same ones again and again. */
const digests = new WeakMap<RevisionRecord, string>();

export const etagOf = (record: RevisionRecord): string => `${record.revision}-${digestOf(record).slice(0, 16)}`;

/** True if `next` was written after `record`. Otherwise a late writer has put `record` into the place of one that was lost, or it was changed. */
export const follows = (next: RevisionRecord, record: RevisionRecord): boolean =>
  next.previous === digestOf(record) || (next.previous === '' && next.deleted);

/** A string that is equal for equal specs. */
export function specDigest(spec: StoredDropSchedule): string {
  const { kind, rate, mode, schedule, cutoff_epoch } = spec;
  return createHash('sha256')
    .update(JSON.stringify([kind, rate, mode, schedule, cutoff_epoch]))
    .digest('hex');
}

export function protoSchedule(record: RevisionRecord): Schedule {
  return {
    name: record.name,
    revision: BigInt(record.revision),
    spec: fromStored(record.spec),
    etag: etagOf(record),
    createTime: new Date(record.create_time),
    deleted: record.deleted,
    uid: record.uid,
    creator: record.creator ?? '',
  };
}
