import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from './directory-files.js';
import type { ListedObject } from './object-store.js';

/**
 * The objects below `root` whose keys start with `prefix` and come after `after`, in byte order of the whole key, as S3 lists them. Only folders that
 * can contain such keys are read, so a page does not cost a walk over the whole tree.
 */
export async function* walkInKeyOrder(root: string, prefix: string, after: string, signal?: AbortSignal): AsyncGenerator<ListedObject> {
  // All of them lie below the last whole folder of the prefix.
  yield* walk(root, prefix.slice(0, prefix.lastIndexOf('/') + 1), prefix, after, signal);
}

async function* walk(
  root: string,
  above: string,
  prefix: string,
  after: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ListedObject> {
  signal?.throwIfAborted();
  let entries: { key: string; isFolder: boolean }[];
  try {
    // A folder sorts by its name followed by '/', as the keys below it do. Names that start with a dot are not keys.
    entries = (await readdir(join(root, above), { withFileTypes: true }))
      .filter((entry) => !entry.name.startsWith('.') && (entry.isDirectory() || entry.isFile()))
      .map((entry) => ({ key: above + entry.name + (entry.isDirectory() ? '/' : ''), isFolder: entry.isDirectory() }))
      .filter(({ key, isFolder }) => key > after || (isFolder && after.startsWith(key)))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return;
    throw error;
  }
  const inside = entries.filter(({ key, isFolder }) => key.startsWith(prefix) || (isFolder && prefix.startsWith(key)));
  // Whoever lists a folder of many objects reads a page of them, so a few are looked at ahead.
  const looks: Promise<ListedObject | undefined>[] = [];
  for (const [at, { key, isFolder }] of inside.entries()) {
    for (let ahead = Math.max(at, looks.length); ahead < Math.min(inside.length, at + looksAhead); ahead++) {
      const next = inside[ahead]!;
      looks[ahead] = next.isFolder ? Promise.resolve(undefined) : look(root, next.key);
    }
    if (isFolder) yield* walk(root, key, prefix, after, signal);
    const found = await looks[at];
    delete looks[at];
    if (found) yield found;
  }
}

const looksAhead = 16;

/** Undefined if the file is gone. */
function look(root: string, key: string): Promise<ListedObject | undefined> {
  const looking = stat(join(root, key)).then(
    (stats) => ({ key, sizeBytes: stats.size, lastModified: stats.mtime }),
    (error) => {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    },
  );
  // A listing that ends early never awaits it.
  looking.catch(() => {});
  return looking;
}
