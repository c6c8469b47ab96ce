import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { quietly } from '#bounds/quietly.js';
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
  const entries = merged(await readFolder(root, above, prefix, after, signal));
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
    if (first.looking === undefined) yield* walk(root, first.entry.key, prefix, after, signal);
    else {
      const found = await first.looking;
      if (found) yield found;
    }
  }
}

const looksAhead = 16;
/** Number of entries of a folder that are sorted in one turn of the event loop, which takes a few ms. */
const entriesPerTurn = 4096;

interface Entry {
  /** A folder's ends in '/', so that it sorts as the keys below it do. */
  readonly key: string;
  readonly isFolder: boolean;
}

/** The entries of a folder that are or contain what is looked for, in sorted runs. A folder that is gone has none. */
async function readFolder(
  root: string,
  above: string,
  prefix: string,
  after: string,
  signal: AbortSignal | undefined,
): Promise<readonly (readonly Entry[])[]> {
  const runs: Entry[][] = [];
  let run: Entry[] = [];
  const endRun = (): void => {
    if (run.length > 0) runs.push(run.sort((a, b) => (a.key < b.key ? -1 : 1)));
    run = [];
  };
  try {
    signal?.throwIfAborted();
    for (const entry of await readdir(join(root, above), { withFileTypes: true })) {
      const isFolder = entry.isDirectory();
      // Names that start with a dot are not keys.
      if (entry.name.startsWith('.') || !(isFolder || entry.isFile())) continue;
      const key = isFolder ? `${above}${entry.name}/` : above + entry.name;
      if (!(key > after || (isFolder && after.startsWith(key)))) continue;
      if (!(key.startsWith(prefix) || (isFolder && prefix.startsWith(key)))) continue;
      run.push({ key, isFolder });
      if (run.length < entriesPerTurn) continue;
      endRun();
      await turn();
      signal?.throwIfAborted();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
  endRun();
  return runs;
}

/** The entries of sorted runs in order. */
function* merged(runs: readonly (readonly Entry[])[]): Generator<Entry, void> {
  const at = runs.map(() => 0);
  for (;;) {
    let least: Entry | undefined;
    let from = 0;
    for (const [k, run] of runs.entries()) {
      const entry = run[at[k]!];
      if (entry !== undefined && (least === undefined || entry.key < least.key)) [least, from] = [entry, k];
    }
    if (least === undefined) return;
    at[from]!++;
    yield least;
  }
}

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
