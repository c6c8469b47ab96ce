/** Keeps manifests and readers of data sets open; when there are too many, the least recently used one is closed. */

import { orAborted } from '#bounds/or-aborted.js';
import { DatasetReader } from '#data/datasets/dataset-reader.js';
import type { Manifest } from '#data/manifest/manifest.js';
import { loadManifest } from '#data/manifest/manifest-store.js';
import type { DataSources } from '#data/sources/data-sources.js';
import { NotFound } from '#errors/errors.js';
import type { ObjectStore } from '#storage/object-store.js';

export interface OpenDataset {
  readonly manifest: Manifest;
  readonly reader: DatasetReader;
}

interface Entry {
  readonly opened: Promise<OpenDataset>;
  users: number;
  evicted: boolean;
}

const LOAD_MS = 120_000;

export class OpenDatasets {
  /** In order of last use. */
  readonly #entries = new Map<string, Entry>();

  constructor(
    private readonly store: ObjectStore,
    private readonly sources: DataSources,
    private readonly capacity: number,
  ) {}

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Runs `work` on the data set of a manifest, which stays open until `work` has ended.
   * @throws NotFound if the store has no such manifest, FailedPrecondition if this replica does not have its images, PermissionDenied outside the roots, DataLoss, StoreUnavailable
   */
  async use<T>(sha256: string, signal: AbortSignal, work: (dataset: OpenDataset) => Promise<T>): Promise<T> {
    const entry = this.#entry(sha256);
    entry.users++;
    try {
      return await work(await orAborted(entry.opened, signal));
    } finally {
      entry.users--;
      if (entry.evicted && entry.users === 0) await closed(entry);
    }
  }

  async close(): Promise<void> {
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    await Promise.all(entries.map(closed));
  }

  #entry(sha256: string): Entry {
    const known = this.#entries.get(sha256);
    if (known) {
      this.#entries.delete(sha256);
      this.#entries.set(sha256, known);
      return known;
    }
    // Several callers share it, so it has its own deadline instead of one caller's signal.
    const entry: Entry = { opened: this.#open(sha256, AbortSignal.timeout(LOAD_MS)), users: 0, evicted: false };
    this.#entries.set(sha256, entry);
    // A failure is not cached, because the manifest may exist when the next call comes.
    entry.opened.catch(() => {
      if (this.#entries.get(sha256) === entry) this.#entries.delete(sha256);
    });
    for (const [name, oldest] of this.#entries) {
      if (this.#entries.size <= this.capacity) break;
      this.#entries.delete(name);
      oldest.evicted = true;
      if (oldest.users === 0) void closed(oldest);
    }
    return entry;
  }

  async #open(sha256: string, signal: AbortSignal): Promise<OpenDataset> {
    const manifest = await loadManifest(this.store, sha256, signal).catch((cause) => {
      // Another replica with another store may have it.
      const why = 'this replica does not have it; run `dropstream data index` with the store of the data service';
      throw cause instanceof NotFound ? new NotFound('manifest', sha256, { cause, why }) : cause;
    });
    return { manifest, reader: new DatasetReader(manifest, await this.sources.find(manifest, signal)) };
  }
}

async function closed(entry: Entry): Promise<void> {
  await entry.opened.then(({ reader }) => reader.close()).catch(() => {});
}
