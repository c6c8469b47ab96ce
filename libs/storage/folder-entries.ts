/**
 * What is in a folder, in the order of keys. That of a large folder is kept for as long as the folder's time of change says that it is still the same.
 * That time may be a file server's, whose clock is not ours: it is only compared with itself. A listing only tells what is there: who may write decides
 * by exclusive creates, so a time that is wrong could delay what a reader sees, and no more.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { RecentMap } from '#bounds/recent-map.js';
import { codeOf } from './directory-files.js';

export interface Entry {
  /** A folder's ends in '/', so that it sorts as the keys below it do. */
  readonly key: string;
  readonly isFolder: boolean;
}

/** Entries in order, in several runs of which each is sorted: a large folder is sorted a part at a time. */
export type Runs = readonly (readonly Entry[])[];

/** As a look at a folder found it. */
interface Look {
  readonly changedNs: bigint;
  /** Number of the folder: another one may have taken its name. */
  readonly ino: bigint;
}

interface FirstLook extends Look {
  /** When the look had ended, on the clock of FolderEntries. */
  readonly atMs: number;
}

interface Kept extends Look {
  readonly runs: Runs;
  readonly count: number;
}

/** Number of entries of a folder that are sorted in one turn of the event loop, which takes a few ms. */
const entriesPerTurn = 4096;
/** Reading fewer is quick. The log of a run grows by a record a second. */
const keptFrom = 1024;
/** Of all kept folders; an entry takes 130 to 160 bytes, by the length of its key. */
const mostKept = 400_000;
/** Folders that were read and may be kept the next time. */
const mostLookedAt = 1024;
/**
 * File systems round times of change: to some ms, or to whole seconds. A folder may change again without another time within that time, so what was
 * read of it is kept only if it already had its time of change so long before, ms.
 */
const [fineMs, coarseMs] = [100, 3000];
const secondNs = 1_000_000_000n;

export class FolderEntries {
  readonly #kept = new RecentMap<string, Kept>(mostKept, ({ count }) => count);
  /** The first look at large folders since they changed. */
  readonly #firstLooks = new RecentMap<string, FirstLook>(mostLookedAt);

  constructor(
    private readonly root: string,
    /** Monotonic clock, ms. */
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** The entries of `above`, which is '' or ends in '/'. A folder that is gone has none. */
  async of(above: string, signal: AbortSignal | undefined): Promise<Runs> {
    signal?.throwIfAborted();
    const path = join(this.root, above);
    try {
      const begunMs = this.now();
      // Before the folder is read, so that a change meanwhile shows the next time.
      const { mtimeNs: changedNs, ino } = await stat(path, { bigint: true });
      const look: Look = { changedNs, ino };
      const kept = this.#kept.get(above);
      if (kept && isSame(kept, look)) return kept.runs;
      const before = this.#firstLooks.get(above);
      const first = before && isSame(before, look) ? before : { ...look, atMs: this.now() };
      const found = await readdir(path, { withFileTypes: true });
      const runs: Entry[][] = [];
      for (let at = 0; at < found.length; at += entriesPerTurn) {
        if (at > 0) await turn();
        signal?.throwIfAborted();
        // Names that start with a dot are not keys.
        const run = found.slice(at, at + entriesPerTurn).flatMap((entry): Entry[] => {
          const isFolder = entry.isDirectory();
          if (entry.name.startsWith('.') || !(isFolder || entry.isFile())) return [];
          return [{ key: isFolder ? `${above}${entry.name}/` : above + entry.name, isFolder }];
        });
        runs.push(run.sort((a, b) => (a.key < b.key ? -1 : 1)));
      }
      this.#kept.delete(above);
      this.#firstLooks.delete(above);
      if (found.length >= keptFrom) {
        if (begunMs - first.atMs >= roundingMs(look)) this.#kept.set(above, { ...look, runs, count: found.length });
        else this.#firstLooks.set(above, first);
      }
      return runs;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
      throw error;
    }
  }
}

const isSame = (one: Look, other: Look): boolean => one.changedNs === other.changedNs && one.ino === other.ino;
const roundingMs = ({ changedNs }: Look): number => (changedNs % secondNs === 0n ? coarseMs : fineMs);

/** Those of the runs that are or contain what is looked for, in order. */
export function* entriesBetween(runs: Runs, prefix: string, after: string): Generator<Entry, void> {
  const isWanted = ({ key, isFolder }: Entry): boolean =>
    (key > after || (isFolder && after.startsWith(key))) && (key.startsWith(prefix) || (isFolder && prefix.startsWith(key)));
  const least = after > prefix ? after : prefix;
  // The folder that contains `least` sorts right before it.
  const at = runs.map((run) => Math.max(0, firstFrom(run, least) - 1));
  for (;;) {
    let next: Entry | undefined;
    let from = 0;
    for (const [k, run] of runs.entries()) {
      while (run[at[k]!] !== undefined && !isWanted(run[at[k]!]!) && !(run[at[k]!]!.key > `${prefix}\uffff`)) at[k]!++;
      const entry = run[at[k]!];
      if (entry !== undefined && isWanted(entry) && (next === undefined || entry.key < next.key)) [next, from] = [entry, k];
    }
    if (next === undefined) return;
    at[from]!++;
    yield next;
  }
}

/** Place of the first entry whose key is not before `key`. */
function firstFrom(run: readonly Entry[], key: string): number {
  let [low, high] = [0, run.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (run[middle]!.key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
