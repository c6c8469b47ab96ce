import { createHash, randomUUID } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { type FileHandle, mkdir, open, readdir, readFile, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asChunks, type Bytes, MAX_REPLACE_BYTES, StoreUnavailable } from './object-store.js';

/** Names that start so are never keys: files being written, and locks. */
export const TEMPORARY_PREFIX = '.tmp-';

/** writev takes at most this many chunks, and one slice of bytes so large that a slow disk still answers a signal between slices. */
const CHUNKS_AT_ONCE = 256;
const SLICE_BYTES = 64 << 20;

export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code;

/**
 * Writes and fsyncs a new file under a name of its own beside `path`, so that link() or rename() can publish it whole.
 * The caller owns the file; on any failure there is none left.
 */
export async function writeTemporary(folder: string, bytes: Bytes, signal?: AbortSignal): Promise<string> {
  const path = join(folder, `${TEMPORARY_PREFIX}${process.pid}-${randomUUID()}`);
  const file = await openInFolder(path, folder);
  try {
    const slices = slicesOf(bytes);
    for (let i = 0; i < slices.length; i += CHUNKS_AT_ONCE) {
      signal?.throwIfAborted();
      await writeFully(file, slices.slice(i, i + CHUNKS_AT_ONCE));
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

/** Deletes that share the folder lose this race at once or a few times in a row; never so often. */
const FOLDER_ATTEMPTS = 100;

/** Creates the folder when it is missing. A concurrent delete may take it, or a folder above it, away again: then once more. */
async function openInFolder(path: string, folder: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open(path, 'wx', 0o644);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error;
      if (attempt === FOLDER_ATTEMPTS) throw new StoreUnavailable(`folder ${folder} vanished ${attempt} times`, true, error);
      await makeFolder(folder).catch((failure) => {
        if (codeOf(failure) !== 'ENOENT') throw failure;
      });
    }
  }
}

/** mkdir -p, and the new entries made durable in their parents. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true });
  if (first === undefined) return;
  for (let path = folder; path.length >= first.length; path = dirname(path)) await syncFolder(dirname(path));
}

function slicesOf(bytes: Bytes): Uint8Array[] {
  return asChunks(bytes).flatMap((chunk) => {
    if (chunk.byteLength <= SLICE_BYTES) return chunk.byteLength > 0 ? [chunk] : [];
    return Array.from({ length: Math.ceil(chunk.byteLength / SLICE_BYTES) }, (_, i) =>
      chunk.subarray(i * SLICE_BYTES, (i + 1) * SLICE_BYTES),
    );
  });
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

/** Makes creations, renames and removals in a folder survive a power cut. A folder that is gone has nothing to keep. */
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
 * The version of an object: a hash of the bytes where they are few (an inode and its times can come back within one clock
 * tick), the identity of the file where hashing on every look would cost too much.
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

/** Removes temporary files older than this anywhere below a folder: what a killed writer left. @returns how many */
export async function sweepTemporary(folder: string, olderThanMs: number, signal?: AbortSignal): Promise<number> {
  signal?.throwIfAborted();
  let removed = 0;
  const entries = await readdir(folder, { withFileTypes: true }).catch((error) => {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  });
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) removed += await sweepTemporary(path, olderThanMs, signal);
    else if (entry.name.startsWith(TEMPORARY_PREFIX)) {
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
