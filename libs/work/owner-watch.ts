/**
 * Finds work without an owner among what is not known to wait: owners that are gone, and what has lost its hint. A living owner of this version writes
 * its entry in the queue again and again, so a listing of the queue tells about 1,000 owners. Only what a listing cannot tell has its log read: entries
 * that no owner ever wrote (of version 0.2, or just created), and those that have not been written for a whole TTL of this process's clock.
 */
import { StaleWatch } from '#storage/lease.js';
import { keyOfEntry, type QueueEntry } from './queue-entry.js';
import type { ListedEntry } from './queue-index.js';

export interface Suspect extends ListedEntry {
  /** True if its owner has not written the entry for a TTL, as far as it ever did. */
  readonly silent: boolean;
}

export interface Watched {
  /** What a listing cannot tell, those first whose logs were not read for the longest time. */
  readonly suspects: readonly Suspect[];
  /** What seems to have an owner. */
  readonly owned: readonly QueueEntry[];
  /** True if an owner has not been seen alive yet, and may be gone. */
  readonly doubts: boolean;
}

interface Seen {
  readonly touches: StaleWatch;
  version: string;
  /** When its log was read, by performance.now(); 0 if never. */
  readAtMs: number;
  /** What its log said when it was read for this version. */
  verdict: 'owned' | 'ownerless' | undefined;
}

export class OwnerWatch {
  readonly #seen = new Map<string, Seen>();

  constructor(private readonly ttlMs: number) {}

  /**
   * Takes what a listing shows.
   * @param known what waits, and what this process works on
   * @param askedAtMs when the listing was asked for, by performance.now()
   */
  take(listed: readonly ListedEntry[], known: ReadonlySet<string>, askedAtMs: number): Watched {
    const suspects: (Suspect & { readonly seen: Seen })[] = [];
    const owned: QueueEntry[] = [];
    let doubts = false;
    const present = new Set<string>();
    for (const one of listed) {
      const key = keyOfEntry(one.entry);
      if (known.has(key)) continue;
      present.add(key);
      const seen = this.#seen.get(key) ?? {
        touches: new StaleWatch(this.ttlMs),
        version: one.version,
        readAtMs: 0,
        verdict: undefined,
      };
      this.#seen.set(key, seen);
      if (seen.version !== one.version) Object.assign(seen, { version: one.version, readAtMs: 0, verdict: undefined });
      const silent = seen.touches.observe(0, Buffer.from(one.version), askedAtMs) === 'stale';
      if (!one.touched || silent) suspects.push({ ...one, silent: one.touched, seen });
      else doubts ||= !seen.touches.seenAlive;
      if (seen.verdict !== 'ownerless') owned.push(one.entry);
    }
    for (const key of this.#seen.keys()) if (!present.has(key)) this.#seen.delete(key);
    suspects.sort((a, b) => a.seen.readAtMs - b.seen.readAtMs);
    return { suspects: suspects.map(({ seen: _, ...suspect }) => suspect), owned, doubts };
  }

  /** Keeps what the log of a suspect said. */
  judge(entry: QueueEntry, verdict: 'owned' | 'ownerless'): void {
    const seen = this.#seen.get(keyOfEntry(entry));
    if (seen) Object.assign(seen, { verdict, readAtMs: performance.now() });
  }
}
