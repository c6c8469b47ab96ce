import { createHash, randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asChunks, type Bytes, MAX_REPLACE_BYTES, StoreUnavailable } from './object-store.js';

/** Keys never start like this; it marks locks and files that are being written. */
export const TEMPORARY_PREFIX = '.tmp-';

/** writev takes at most this many chunks. */
const CHUNKS_AT_ONCE = 256;
/**
 * At most this much is written at once; then it is made durable, and the signal is looked at. Gigabytes of unwritten pages would push out the pages of running
 * programs, and hold up every thread that then needs memory, for as long as the disk takes.
 */
const WRITE_BYTES = 64 << 20;

/** Only the owner may read what is stored: weights, and names and places of data sets. */
export const FILE_MODE = 0o600;
export const FOLDER_MODE = 0o700;

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

/**
 * Writes and fsyncs a new file with a unique name in a folder, so that link() or rename() can publish it as a whole. The caller owns the file. On
 * any failure, no file is left. `beforeMaking` is called before the folder is created; if it throws, nothing is.
 */
export async function writeTemporary(
  folder: string,
  bytes: Bytes,
  { signal, beforeMaking }: { signal?: AbortSignal | undefined; beforeMaking?: (() => Promise<void>) | undefined } = {},
): Promise<string> {
  const path = join(folder, `${TEMPORARY_PREFIX}${process.pid}-${randomUUID()}`);
  const file = await openInFolder(path, folder, beforeMaking);
  try {
    let written = false;
    for (const chunks of writesOf(bytes)) {
      if (written) await file.datasync();
      signal?.throwIfAborted();
      await writeFully(file, chunks);
      written = true;
    }
    signal?.throwIfAborted();
    await file.sync();
  } catch (error) {
    await file.close();
    await unlink(path).catch(() => undefined);
    throw error;
  }
  await file.close();
  return path;
}

/** Creating a file can lose a race against concurrent deletes in the folder, once or a few times in a row, but not this often. */
const FOLDER_ATTEMPTS = 100;

/** Creates the folder if it is missing. A concurrent delete may remove it or a folder above it again; then it tries once more. */
async function openInFolder(path: string, folder: string, beforeMaking?: () => Promise<void>): Promise<FileHandle> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open(path, 'wx', FILE_MODE);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      if (attempt === FOLDER_ATTEMPTS) throw new StoreUnavailable(`folder ${folder} vanished ${attempt} times`, true, error);
      await beforeMaking?.();
      await makeFolder(folder).catch((failure) => {
        if (codeOf(failure) !== 'ENOENT') throw failure;
      });
    }
  }
}

/** Same as mkdir -p, and makes the new entries durable in their parents. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  if (first === undefined) return;
  for (let path = folder; path.length >= first.length; path = dirname(path)) await syncFolder(dirname(path));
}

/** What is written by one call each. */
function* writesOf(bytes: Bytes): Generator<Uint8Array[]> {
  let [chunks, size]: [Uint8Array[], number] = [[], 0];
  for (const chunk of asChunks(bytes))
    for (let from = 0; from < chunk.byteLength; ) {
      const slice = chunk.subarray(from, from + WRITE_BYTES - size);
      chunks.push(slice);
      from += slice.byteLength;
      size += slice.byteLength;
      if (size < WRITE_BYTES && chunks.length < CHUNKS_AT_ONCE) continue;
      yield chunks;
      [chunks, size] = [[], 0];
    }
  if (size > 0) yield chunks;
}

async function writeFully(file: FileHandle, chunks: Uint8Array[]): Promise<void> {
  let left = chunks;
  while (left.length > 0) {
    let { bytesWritten } = await file.writev(left);
    const rest: Uint8Array[] = [];
    for (const chunk of left) {
      if (bytesWritten < chunk.byteLength) rest.push(chunk.subarray(bytesWritten));
      bytesWritten = Math.max(0, bytesWritten - chunk.byteLength);
    }
    left = rest;
  }
}

/** Makes creations, renames and removals in a folder survive a power cut. A folder that no longer exists has nothing to sync. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(folder, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * The version of an object. For small objects it is a hash of the bytes, because a new file can have the inode and the times of the old one. For
 * large objects, hashing at every access would cost too much, so it is the identity of the file.
 */
export async function etagOf(path: string, stats: BigIntStats): Promise<string> {
  if (stats.size <= MAX_REPLACE_BYTES) return etagOfSmall(await readFile(path));
  return `${stats.ino.toString(36)}-${stats.mtimeNs.toString(36)}-${stats.size.toString(36)}`;
}

export function etagOfSmall(bytes: Bytes): string {
  const hash = createHash('sha256');
  for (const chunk of asChunks(bytes)) hash.update(chunk);
  return hash.digest('hex').slice(0, 32);
}

/**
 * Removes temporary files older than this anywhere below a folder, and the folders that are empty then; killed writers left them.
 * @returns the number of removed files
 */
export async function sweepTemporary(folder: string, olderThanMs: number, signal?: AbortSignal): Promise<number> {
  signal?.throwIfAborted();
  let removed = 0;
  const entries = await readdir(folder, { withFileTypes: true }).catch((error) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      const below = await sweepTemporary(path, olderThanMs, signal);
      // rmdir rejects a folder that is in use; whoever is about to write into it makes it again.
      if (below > 0) await rmdir(path).catch(() => undefined);
      removed += below;
    } else if (entry.name.startsWith(TEMPORARY_PREFIX)) {
      try {
        if (Date.now() - (await stat(path)).mtimeMs < olderThanMs) continue;
        await unlink(path);
        removed++;
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error;
      }
    }
  }
  return removed;
}
