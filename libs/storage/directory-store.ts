import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { link, mkdir, open, readdir, rename, rm, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import {
  codeOf,
  etagOf,
  etagOfSmall,
  FILE_MODE,
  FOLDER_MODE,
  sweepTemporary,
  syncFolder,
  TEMPORARY_PREFIX,
  writeTemporary,
} from './directory-files.js';
import { walkInKeyOrder } from './directory-listing.js';
import { FolderEntries } from './folder-entries.js';
import {
  type Bytes,
  checkKey,
  checkListLimit,
  checkPrefix,
  type GetOptions,
  InvalidKey,
  type ListOptions,
  type ListPage,
  MAX_GET_BYTES,
  MAX_REPLACE_BYTES,
  ObjectExists,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  PreconditionFailed,
  type PutOptions,
  type SignalOption,
  StoreFull,
  StoreUnavailable,
  sizeOf,
} from './object-store.js';

/** Temporary files older than this were left by killed writers; they are removed after the store was opened. */
const LEFTOVER_AGE_MS = 24 * 3600 * 1000;
/** A lock is held during one small write. One this old was left by a killed process. */
const LOCK_STALE_MS = 30_000;
const LOCK_POLL_MS = 5;
/** Opening something else than a file, such as a named pipe, must not wait for its other end. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;
/** Bytes that are read in one go, after which a signal or a deadline has its say. */
const READ_BYTES = 16 << 20;
/** Number of objects of a page between two signs of progress. */
const progressEvery = 256;
const FULL = new Set(['ENOSPC', 'EDQUOT']);
/** Nothing to wait for: somebody has to change the system's settings. */
const LASTING = new Set(['EROFS', 'EPERM', 'ENOSYS', 'EOPNOTSUPP']);

/**
 * Stores objects as files below one folder of a local file system. A file is written under a temporary name in the same folder, fsynced and then
 * published by link() (exclusive) or rename(); then the folder is fsynced. So a reader sees a whole object or none, and a power cut loses nothing
 * that a put has resolved for.
 */
export class DirectoryStore implements ObjectStore {
  readonly uri: string;
  readonly maxListed = 1 << 16;
  /**
   * Resolves when old leftovers are removed, or after the store was closed. This reads every folder, which takes seconds in a store of 10,000 schedules, so
   * nobody waits for it; what it could not remove, `dropstream store check` finds.
   */
  readonly swept: Promise<void>;
  private readonly closing = new AbortController();
  private readonly folders: FolderEntries;

  private constructor(
    private readonly root: string,
    /** The file system that the root was on when it was opened. */
    private readonly device: number,
    sweeps: boolean,
  ) {
    this.uri = pathToFileURL(root).href;
    this.folders = new FolderEntries(root);
    this.swept = sweeps ? sweepTemporary(root, LEFTOVER_AGE_MS, this.closing.signal).then(nothing, nothing) : Promise.resolve();
  }

  /**
   * Creates the folder if it is missing, and begins to remove old leftovers. A full disk is no error here: what is stored can be read.
   * @param options.lookOnly true: nothing is created, tested or removed, and the folder must exist
   * @throws StoreUnavailable if it is not writable or its file system has no link()
   */
  static async open(path: string, { lookOnly = false }: { lookOnly?: boolean } = {}): Promise<DirectoryStore> {
    const root = resolve(path);
    if (lookOnly) {
      const found = await stat(root).catch((error) => {
        throw new StoreUnavailable(`directory ${root} cannot be read: ${codeOf(error)}`, false, error);
      });
      if (!found.isDirectory()) throw new StoreUnavailable(`${root} is not a directory`, false);
      return new DirectoryStore(root, found.dev, false);
    }
    try {
      await mkdir(root, { recursive: true, mode: FOLDER_MODE });
    } catch (error) {
      if (FULL.has(codeOf(error) ?? '')) throw new StoreFull(root, codeOf(error)!, error);
      const lasting = ['EACCES', 'EEXIST', 'ENOTDIR', ...LASTING].includes(codeOf(error) ?? '');
      throw new StoreUnavailable(`directory ${root} cannot be created`, !lasting, error);
    }
    await probeLink(root);
    return new DirectoryStore(root, (await stat(root)).dev, true);
  }

  async put(key: string, bytes: Bytes, { ifAbsent = false, signal }: PutOptions = {}): Promise<{ etag: string }> {
    const path = this.pathOf(key, signal);
    return this.guard(key, async () => {
      // This check saves writing the bytes of a create that has already lost; the link() below decides.
      if (ifAbsent && (await exists(path))) throw new ObjectExists(key);
      const temporary = await writeTemporary(dirname(path), bytes, { signal, beforeMaking: () => this.assertPresent() }).catch(
        async (error) => {
          await this.removeEmptyFolders(dirname(path));
          throw ['ENOTDIR', 'EEXIST'].includes(codeOf(error) ?? '') ? new InvalidKey(key, 'one of its folders is an object') : error;
        },
      );
      try {
        if (ifAbsent) await link(temporary, path);
        else await rename(temporary, path);
      } catch (error) {
        if (ifAbsent && codeOf(error) === 'EEXIST') throw new ObjectExists(key);
        if (codeOf(error) === 'EISDIR') throw new InvalidKey(key, 'it is the folder of other objects');
        throw error;
      } finally {
        await unlink(temporary).catch(() => undefined);
      }
      await syncFolder(dirname(path));
      return { etag: sizeOf(bytes) <= MAX_REPLACE_BYTES ? etagOfSmall(bytes) : await etagOf(path, await stat(path, { bigint: true })) };
    });
  }

  async replace(key: string, bytes: Bytes, { ifMatch, signal }: { ifMatch: string } & SignalOption): Promise<{ etag: string }> {
    if (sizeOf(bytes) > MAX_REPLACE_BYTES) throw new ObjectTooLarge(key, sizeOf(bytes), MAX_REPLACE_BYTES);
    const path = this.pathOf(key, signal);
    return this.guard(key, () =>
      underLock(path, signal, async () => {
        if ((await etagOf(path, await stat(path, { bigint: true }))) !== ifMatch) throw new PreconditionFailed(key, ifMatch);
        return this.put(key, bytes, { signal });
      }),
    ).catch((error) => {
      throw error instanceof ObjectNotFound ? new PreconditionFailed(key, ifMatch) : error;
    });
  }

  async get(key: string, { maxBytes = MAX_GET_BYTES, ...options }: GetOptions = {}): Promise<{ bytes: Buffer; etag: string }> {
    const { signal } = options;
    const path = this.pathOf(key, signal);
    return this.guard(key, async () => {
      const file = await open(path, READ_FLAGS);
      try {
        const stats = await file.stat({ bigint: true });
        if (!stats.isFile()) throw new ObjectNotFound(key);
        if (stats.size > maxBytes) throw new ObjectTooLarge(key, Number(stats.size), maxBytes);
        const bytes = await readExactly(file, 0, Number(stats.size), options);
        return { bytes, etag: bytes.length <= MAX_REPLACE_BYTES ? etagOfSmall(bytes) : await etagOf(path, stats) };
      } finally {
        await file.close();
      }
    });
  }

  async getRange(key: string, offset: number, length: number, { signal }: SignalOption = {}): Promise<Buffer> {
    const path = this.pathOf(key, signal);
    return this.guard(key, async () => {
      const file = await open(path, READ_FLAGS);
      try {
        const stats = await file.stat();
        if (!stats.isFile()) throw new ObjectNotFound(key);
        return await readExactly(file, offset, Math.max(0, Math.min(length, stats.size - offset)), { signal });
      } finally {
        await file.close();
      }
    });
  }

  async head(key: string, { signal }: SignalOption = {}): Promise<ObjectInfo> {
    const path = this.pathOf(key, signal);
    return this.guard(key, async () => {
      const stats = await stat(path, { bigint: true });
      if (!stats.isFile()) throw new ObjectNotFound(key);
      return { key, sizeBytes: Number(stats.size), etag: await etagOf(path, stats), lastModified: stats.mtime };
    });
  }

  async list(prefix: string, { after = '', limit, onProgress, signal }: ListOptions = {}): Promise<ListPage> {
    checkPrefix(prefix);
    const most = checkListLimit(limit, this.maxListed);
    return this.guard(prefix, async () => {
      const page: ListPage = { objects: [] };
      for await (const object of walkInKeyOrder(this.root, this.folders, { prefix, after }, signal)) {
        if (page.objects.length === most) return { ...page, next: page.objects[most - 1]!.key };
        page.objects.push(object);
        if (page.objects.length % progressEvery === 0) onProgress?.();
      }
      // A folder that is gone must not look like a store without objects.
      if (page.objects.length === 0) await this.assertPresent();
      return page;
    });
  }

  async delete(key: string, { signal }: SignalOption = {}): Promise<void> {
    const path = this.pathOf(key, signal);
    await this.guard(key, async () => {
      try {
        await unlink(path);
      } catch (error) {
        if (['ENOENT', 'ENOTDIR', 'EISDIR', 'EPERM'].includes(codeOf(error) ?? '')) return;
        throw error;
      }
      await syncFolder(dirname(path));
      await this.removeEmptyFolders(dirname(path));
    });
  }

  async presignGet(key: string, _expirySeconds: number): Promise<string> {
    return pathToFileURL(this.pathOf(key)).href;
  }

  async close(): Promise<void> {
    // Not awaited: a file system that hangs must not hold up the end.
    this.closing.abort(new Error('the store is closed'));
  }

  private pathOf(key: string, signal?: AbortSignal): string {
    signal?.throwIfAborted();
    checkKey(key);
    return join(this.root, key);
  }

  /** Removes empty folders: S3 has no folders, and they would make listings slower. rmdir rejects those in use. */
  private async removeEmptyFolders(from: string): Promise<void> {
    for (let folder = from; folder.length > this.root.length; folder = dirname(folder)) {
      try {
        await rmdir(folder);
      } catch {
        return;
      }
    }
  }

  /**
   * An unmounted or removed folder must look neither like an empty store nor be made anew.
   * @throws StoreUnavailable if the folder is gone, or is an empty one on another file system than the store was opened on
   */
  private async assertPresent(): Promise<void> {
    const gone = (why: string, cause?: unknown) => new StoreUnavailable(`directory ${this.root} ${why}`, true, cause);
    const now = await stat(this.root).catch((error) => {
      throw ['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '') ? gone('no longer exists', error) : error;
    });
    if (!now.isDirectory()) throw gone('is no longer a folder');
    if (now.dev !== this.device && (await readdir(this.root)).length === 0) {
      throw gone('is empty and on another file system than before: is the file system of the store not mounted?');
    }
  }

  private async guard<T>(key: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const code = codeOf(error);
      // The system's errors have a code and a system call; all others keep their class.
      if (code === undefined || (error as NodeJS.ErrnoException).syscall === undefined) throw error;
      if (code === 'ENOENT' || code === 'ENOTDIR') {
        await this.guard(key, () => this.assertPresent());
        throw new ObjectNotFound(key);
      }
      if (FULL.has(code)) throw new StoreFull(this.root, code, error);
      throw new StoreUnavailable(`${this.uri} failed on ${key}: ${(error as Error).message}`, !LASTING.has(code), error);
    }
  }
}

const nothing = (): void => {};

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch {
    return false;
  }
}

async function readExactly(
  file: Awaited<ReturnType<typeof open>>,
  offset: number,
  length: number,
  { allocate, onProgress, signal }: Omit<GetOptions, 'maxBytes'>,
): Promise<Buffer> {
  // Never from the shared pool: tensors are views of this memory and need the alignment of a fresh allocation.
  const bytes = allocate === undefined ? Buffer.allocUnsafeSlow(length) : Buffer.from(allocate(length));
  let done = 0;
  while (done < length) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(bytes, done, Math.min(length - done, READ_BYTES), offset + done);
    if (bytesRead === 0) throw new StoreUnavailable(`a file ended after ${offset + done} of ${offset + length} bytes`, true);
    done += bytesRead;
    onProgress?.();
  }
  return bytes;
}

/** @throws StoreUnavailable on file systems (FAT, some network mounts) where link() cannot create exclusively */
async function probeLink(root: string): Promise<void> {
  const name = join(root, `${TEMPORARY_PREFIX}probe-${process.pid}-${randomUUID()}`);
  try {
    await writeFile(name, '', { mode: FILE_MODE });
    await link(name, `${name}-link`);
    const second = await link(name, `${name}-link`).then(
      () => 'allowed',
      (error) => codeOf(error),
    );
    if (second !== 'EEXIST') throw new Error(`a second link() was ${second}`);
  } catch (error) {
    const code = codeOf(error) ?? '';
    if (FULL.has(code)) return;
    if (['EIO', 'ESTALE', 'ENOTCONN', 'ETIMEDOUT', 'EHOSTDOWN', 'EMFILE', 'ENFILE'].includes(code))
      throw new StoreUnavailable(`directory ${root} does not work at present`, true, error);
    throw new StoreUnavailable(`directory ${root}: its file system cannot create exclusively with link()`, false, error);
  } finally {
    for (const made of [name, `${name}-link`]) await rm(made, { force: true }).catch(() => undefined);
  }
}

/**
 * Allows one replacement of an object at a time, across processes. A lock left by a killed process is removed because of its age. Safety does not
 * depend on this: what must never be lost (logs, manifests, revisions) is only created and never replaced.
 */
async function underLock<T>(path: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const lock = join(dirname(path), `${TEMPORARY_PREFIX}lock-${path.slice(dirname(path).length + 1)}`);
  for (;;) {
    signal?.throwIfAborted();
    try {
      await writeFile(lock, `${process.pid}`, { flag: 'wx', mode: FILE_MODE });
      break;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
      const held = await stat(lock).catch(() => undefined);
      if (held && Date.now() - held.mtimeMs > LOCK_STALE_MS) await rm(lock, { force: true });
      await delay(LOCK_POLL_MS, undefined, { signal });
    }
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}
