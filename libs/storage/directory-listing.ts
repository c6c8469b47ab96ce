import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { quietly } from '#bounds/quietly.js';
import { codeOf } from './directory-files.js';
import { type Entry, entriesBetween, type FolderEntries } from './folder-entries.js';
import type { ListedObject } from './object-store.js';

/**
 * The objects below `root` whose keys start with `prefix` and come after `after`, in byte order of the whole key, as S3 lists them. Only folders that
 * can contain such keys are read, so a page does not cost a walk over the whole tree.
 */
export async function* walkInKeyOrder(
  root: string,
  folders: FolderEntries,
  { prefix, after }: { readonly prefix: string; readonly after: string },
  signal?: AbortSignal,
): AsyncGenerator<ListedObject> {
  const walk = async function* (above: string): AsyncGenerator<ListedObject> {
    const entries = entriesBetween(await folders.of(above, signal), prefix, after);
    // Whoever lists a folder of many objects reads a page of them, so a few are looked at ahead.
    const ahead: { readonly entry: Entry; readonly looking: Promise<ListedObject | undefined> | undefined }[] = [];
    for (;;) {
      while (ahead.length < looksAhead) {
        const next = entries.next();
        if (next.done) break;
        ahead.push({ entry: next.value, looking: next.value.isFolder ? undefined : look(root, next.value.key) });
      }
      const first = ahead.shift();
      if (first === undefined) return;
      signal?.throwIfAborted();
      if (first.looking === undefined) yield* walk(first.entry.key);
      else {
        const found = await first.looking;
        if (found) yield found;
      }
    }
  };
  // All of them lie below the last whole folder of the prefix.
  yield* walk(prefix.slice(0, prefix.lastIndexOf('/') + 1));
}

const looksAhead = 16;

/** Undefined if the file is gone. */
function look(root: string, key: string): Promise<ListedObject | undefined> {
  // A listing that ends early never awaits it.
  return quietly(
    stat(join(root, key)).then(
      (stats) => ({ key, sizeBytes: stats.size, lastModified: stats.mtime }),
      (error) => {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw error;
      },
    ),
  );
}
