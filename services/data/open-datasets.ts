/** Keeps manifests and readers of data sets open; when there are too many, the least recently used one is closed. */

import { orAborted } from '#bounds/or-aborted.js';
import { quietly } from '#bounds/quietly.js';
import { DatasetReader } from '#data/datasets/dataset-reader.js';
import type { Manifest } from '#data/manifest/manifest.js';
import { checkProjectHas, type ProjectManifest } from '#data/manifest/manifest-location.js';
import { loadManifest } from '#data/manifest/manifest-store.js';
import type { DataSources } from '#data/sources/data-sources.js';
import type { ObjectStore } from '#storage/object-store.js';

export interface OpenDataset {
  readonly manifest: Manifest;
  readonly reader: DatasetReader;
}

interface Entry {
  readonly sha256: string;
  /** Shared by the projects that have the data set. */
  readonly manifest: Promise<Manifest>;
  readonly opened: Promise<OpenDataset>;
  users: number;
  evicted: boolean;
}

const LOAD_MS = 120_000;

export class OpenDatasets {
  /** By project and manifest, because each project has its own folders and stores. In order of last use. */
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
   * Runs `work` on a data set of a project, which stays open until `work` has ended.
   * @throws NotFound if the project has no such manifest, FailedPrecondition if this replica does not have its images, PermissionDenied outside the roots, DataLoss, StoreUnavailable
   */
  async use<T>(of: ProjectManifest, signal: AbortSignal, work: (dataset: OpenDataset) => Promise<T>): Promise<T> {
    const entry = this.#entry(of);
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

  #entry(of: ProjectManifest): Entry {
    const key = `${of.project}/${of.sha256}`;
    const known = this.#entries.get(key);
    if (known) {
      this.#entries.delete(key);
      this.#entries.set(key, known);
      return known;
    }
    // Several callers share it, so it has its own deadline instead of one caller's signal.
    const signal = AbortSignal.timeout(LOAD_MS);
    const manifest = quietly(this.#manifest(of, signal));
    const opened = quietly(this.#open(of, manifest, signal));
    const entry: Entry = { sha256: of.sha256, manifest, opened, users: 0, evicted: false };
    this.#entries.set(key, entry);
    // A failure is not cached, because the project may have the manifest when the next call comes.
    entry.opened.catch(() => {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    });
    for (const [name, oldest] of this.#entries) {
      if (this.#entries.size <= this.capacity) break;
      this.#entries.delete(name);
      oldest.evicted = true;
      if (oldest.users === 0) void closed(oldest);
    }
    return entry;
  }

  /** That another project has it open does not say that this one may. */
  async #manifest(of: ProjectManifest, signal: AbortSignal): Promise<Manifest> {
    const other = [...this.#entries.values()].find(({ sha256 }) => sha256 === of.sha256);
    if (other === undefined) return await loadManifest(this.store, of, signal);
    await checkProjectHas(this.store, of, signal);
    // Its own reading may have failed for a reason of its own.
    return await other.manifest.catch(() => loadManifest(this.store, of, signal));
  }

  async #open({ project }: ProjectManifest, loading: Promise<Manifest>, signal: AbortSignal): Promise<OpenDataset> {
    const manifest = await loading;
    return { manifest, reader: new DatasetReader(manifest, await this.sources.find(project, manifest, signal)) };
  }
}

async function closed(entry: Entry): Promise<void> {
  await entry.opened.then(({ reader }) => reader.close()).catch(() => {});
}
