/** Finds what killed writers and deletes left in the folder of a directory store, and what listings do not show. */
import { readdir, rmdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, TEMPORARY_PREFIX } from './directory-files.js';

export interface Leftover {
  readonly kind: 'temporary-file' | 'empty-folder';
  readonly path: string;
  /** Time of its last change in ms. */
  readonly changedMs: number;
}

/** Every temporary file and empty folder below a folder. What vanishes meanwhile is left out. */
export async function* leftoversBelow(folder: string, signal: AbortSignal, isRoot = true): AsyncGenerator<Leftover, void> {
  signal.throwIfAborted();
  const entries = await readdir(folder, { withFileTypes: true }).catch(absent);
  if (entries === undefined) return;
  if (entries.length === 0 && !isRoot) yield* found('empty-folder', folder);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* leftoversBelow(path, signal, false);
    else if (entry.name.startsWith(TEMPORARY_PREFIX)) yield* found('temporary-file', path);
  }
}

/** Removes it, unless it is gone or in use by now. @returns whether it was removed */
export async function removeLeftover({ kind, path }: Leftover): Promise<boolean> {
  try {
    await (kind === 'empty-folder' ? rmdir(path) : unlink(path));
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) return false;
    throw error;
  }
}

async function* found(kind: Leftover['kind'], path: string): AsyncGenerator<Leftover, void> {
  const stats = await stat(path).catch(absent);
  if (stats) yield { kind, path, changedMs: stats.mtimeMs };
}

function absent(error: unknown): undefined {
  if (!['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '')) throw error;
}
