/** What all parts of a check share. */
import { createHash } from 'node:crypto';
import { quietly } from '#bounds/quietly.js';
import { ObjectNotFound, type ObjectStore, ObjectTooLarge, objectExists, StorageError, StoreUnavailable } from '#storage/object-store.js';
import type { Finding, FindingKind } from './findings.js';
import type { ParsedKey } from './key-grammar.js';

export interface StoredObject {
  readonly parsed: ParsedKey;
  readonly sizeBytes: number;
  /** Time by the store's clock, in ms. */
  readonly writtenMs: number;
}

export interface CheckContext {
  readonly store: ObjectStore;
  readonly signal: AbortSignal;
  /** Whether the bytes of checkpoints, manifests of data sets and images are read and hashed. */
  readonly deep: boolean;
  /** What is younger than this may belong to work in progress, in ms. */
  readonly graceMs: number;
  readonly nowMs: number;
  report(finding: Finding): void;
}

export const isOld = ({ nowMs, graceMs }: CheckContext, { writtenMs }: Pick<StoredObject, 'writtenMs'>): boolean =>
  nowMs - writtenMs > graceMs;

/** Reports something that is only a fault if nobody is about to finish it. */
export function reportWhenOld(
  context: CheckContext,
  { kind, where, detail, repair }: { kind: FindingKind; where: string; detail: string; repair: NonNullable<Finding['repair']> },
  newest: Pick<StoredObject, 'writtenMs'>,
): void {
  if (isOld(context, newest)) context.report({ kind, where, detail, repair });
  else context.report({ kind: 'in-progress', where, detail });
}

/**
 * Reads an object. One that is gone meanwhile is not an error; one that cannot be read is a finding.
 * @returns undefined if there is nothing to look at
 */
export async function readObject(context: CheckContext, key: string, maxBytes: number): Promise<Buffer | undefined> {
  return await tolerant(context, key, async () => (await context.store.get(key, { maxBytes, signal: context.signal })).bytes);
}

async function tolerant(context: CheckContext, key: string, read: () => Promise<Buffer>): Promise<Buffer | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ObjectNotFound) return undefined;
    if (error instanceof ObjectTooLarge) {
      context.report({
        kind: 'object-unreadable',
        where: key,
        detail: `it has ${error.sizeBytes} bytes, at most ${error.maxBytes} are allowed`,
      });
      return undefined;
    }
    // A store that does not answer ends the check; a single object that the disk cannot read does not.
    if (!(error instanceof StorageError) || !isUnreadable(error)) throw error;
    context.report({ kind: 'object-unreadable', where: key, detail: error.message });
    return undefined;
  }
}

function isUnreadable(error: StorageError): boolean {
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code ?? '';
  return error instanceof StoreUnavailable && ['EIO', 'EACCES', 'EPERM', 'EBADMSG'].includes(code);
}

/** Bytes that are read at once, so that objects of any size can be hashed. */
const CHUNK_BYTES = 8 << 20;

/** SHA-256 of an object in hexadecimal; undefined if it is gone or cannot be read, which is a finding. */
export async function hashObject(context: CheckContext, key: string, sizeBytes: number): Promise<string | undefined> {
  const { store, signal } = context;
  const hash = createHash('sha256');
  for (let at = 0; at < sizeBytes; at += CHUNK_BYTES) {
    const bytes = await tolerant(context, key, () => store.getRange(key, at, CHUNK_BYTES, { signal }));
    if (bytes === undefined) return undefined;
    hash.update(bytes);
  }
  return hash.digest('hex');
}

export async function exists({ store, signal }: CheckContext, key: string): Promise<boolean> {
  return await objectExists(store, key, { signal });
}

/** Deletes objects. @returns what was done */
export async function deleteKeys({ store }: Pick<CheckContext, 'store'>, keys: readonly string[], signal: AbortSignal): Promise<string> {
  for (const key of keys) await store.delete(key, { signal });
  return keys.length === 1 ? 'deleted' : `deleted ${keys.length} objects`;
}

/** Runs `work` on every item, a few at a time and in order of their start. Whoever makes one awaits `done`. */
export class SideBySide {
  readonly #running: Promise<void>[] = [];

  constructor(private readonly most = 16) {}

  async add(work: () => Promise<void>): Promise<void> {
    if (this.#running.length >= this.most) await this.#running.shift();
    this.#running.push(quietly(work()));
  }

  async done(): Promise<void> {
    while (this.#running.length > 0) await this.#running.shift();
  }
}
