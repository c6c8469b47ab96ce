/**
 * What is in a folder, in the order of keys. That of a large folder is kept for as long as the folder's time of change says that it is still the same.
 * A listing only tells what is there: who may write decides by exclusive creates, so a time that is wrong could delay what a reader sees, and no more.
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

interface Kept {
  readonly runs: Runs;
  readonly count: number;
  readonly changedNs: bigint;
  /** Number of the folder: another one may have taken its name. */
  readonly ino: bigint;
}

/** Number of entries of a folder that are sorted in one turn of the event loop, which takes a few ms. */
const entriesPerTurn = 4096;
/** Reading fewer is quick. The log of a run grows by a record a second. */
const keptFrom = 1024;
/** Of all kept folders; an entry takes about 80 bytes. */
const mostKept = 400_000;
/**
 * File systems round times of change: to some ms, or to whole seconds. A folder that has changed within that time may change again without another
 * time, so what was read of it is not kept.
 */
const [fineNs, coarseNs] = [100_000_000n, 3_000_000_000n];
const secondNs = 1_000_000_000n;

export class FolderEntries {
  readonly #kept = new RecentMap<string, Kept>(mostKept, ({ count }) => count);

  constructor(
    private readonly root: string,
    /** Wall clock, ms; that of the file system. */
    private readonly now: () => number = Date.now,
  ) {}

  /** The entries of `above`, which is '' or ends in '/'. A folder that is gone has none. */
  async of(above: string, signal: AbortSignal | undefined): Promise<Runs> {
    signal?.throwIfAborted();
    const path = join(this.root, above);
    try {
      const kept = this.#kept.get(above);
      // Before the folder is read, so that a change meanwhile shows the next time.
      const { mtimeNs: changedNs, ino } = await stat(path, { bigint: true });
      if (kept?.changedNs === changedNs && kept.ino === ino) return kept.runs;
      const isSettled = this.#isSettled(changedNs);
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
      if (isSettled && found.length >= keptFrom) this.#kept.set(above, { runs, count: found.length, changedNs, ino });
      else this.#kept.delete(above);
      return runs;
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
      throw error;
    }
  }

  #isSettled(changedNs: bigint): boolean {
    const ageNs = BigInt(Math.round(this.now() * 1e6)) - changedNs;
    return ageNs > (changedNs % secondNs === 0n ? coarseNs : fineNs);
  }
}

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
