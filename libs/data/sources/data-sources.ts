/** Finds where the bytes of a manifest's data set are: in an allowed folder of this machine, or in an allowed object store. */
import { DataLoss, FailedPrecondition, PermissionDenied } from '#errors/errors.js';
import { InvalidKey, ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import type { AllowedRoots } from '../datasets/allowed-roots.js';
import { FolderSource } from '../datasets/folder-source.js';
import type { SampleSource } from '../datasets/sample-source.js';
import type { Manifest } from '../manifest/manifest.js';
import { readLocation } from '../manifest/manifest-location.js';
import { findDataset } from '../manifest/manifest-store.js';
import { type CacheCounts, DiskCache } from './disk-cache.js';
import { pushedKey } from './object-keys.js';
import { ReadSlots } from './read-slots.js';
import { RelocatingSource } from './relocating-source.js';
import { StoreSource } from './store-source.js';

export interface DataSourcesOptions {
  /** Where manifests are kept; data sets that were pushed there may be read. The caller's: not closed here. */
  readonly store: ObjectStore;
  readonly roots: AllowedRoots;
  /** Stores that may be read besides. Default none. */
  readonly stores?: readonly string[] | undefined;
  /** Folder of a cache for what is read from stores; none: no cache. */
  readonly cacheFolder?: string | undefined;
  /** Default 64 GiB. */
  readonly cacheBytes?: number | undefined;
  /** Reads from stores at a time. Default 24, below the connections that a store keeps. */
  readonly reads?: number | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
}

const FIND_MS = 30_000;

export class DataSources {
  readonly #slots: ReadSlots;

  private constructor(
    private readonly own: ObjectStore,
    private readonly others: readonly ObjectStore[],
    private readonly roots: AllowedRoots,
    private readonly cache: DiskCache | undefined,
    reads: number,
  ) {
    this.#slots = new ReadSlots(reads);
  }

  /** @throws InvalidStoreUri, or where the cache's folder cannot be written */
  static async open(options: DataSourcesOptions): Promise<DataSources> {
    const { store, roots, stores = [], cacheFolder, cacheBytes = 2 ** 36, reads = 24, env = process.env } = options;
    // Only read: nothing has to be enforced, and a store that is away now may be back when it is needed.
    const opened = await Promise.all(stores.map((uri) => openStore(uri, { env, probe: false, foreignKeys: true })));
    const cache = cacheFolder === undefined ? undefined : await DiskCache.open(cacheFolder, cacheBytes);
    return new DataSources(store, opened, roots, cache, reads);
  }

  get cacheCounts(): CacheCounts | undefined {
    return this.cache?.counts;
  }

  /**
   * A folder first, then what was pushed, then where the manifest was made. It follows a data set that moves: the place is looked up
   * again where bytes are gone or others than the manifest's, and every few seconds while they are read. To be closed by the caller.
   * @throws FailedPrecondition where it is nowhere, DataLoss where what says where it is cannot be read, PermissionDenied where it is outside of what
   * is allowed, StoreUnavailable
   */
  async find(manifest: Manifest, signal?: AbortSignal): Promise<SampleSource> {
    const placeNow = async (stop?: AbortSignal) => JSON.stringify(await readLocation(this.own, manifest.sha256, stop));
    const find = async (stop?: AbortSignal) => {
      // The place first: where it changes in between, the next look finds the difference.
      const place = await placeNow(stop);
      return { place, source: await this.#find(manifest, stop) };
    };
    return new RelocatingSource(
      await find(signal),
      () => find(AbortSignal.timeout(FIND_MS)),
      (closing) => placeNow(AbortSignal.any([closing, AbortSignal.timeout(FIND_MS)])),
    );
  }

  async close(): Promise<void> {
    await this.cache?.close();
    await Promise.all(this.others.map((store) => store.close()));
  }

  async #find(manifest: Manifest, signal: AbortSignal | undefined): Promise<SampleSource> {
    try {
      return new FolderSource(manifest, await findDataset(this.own, manifest, this.roots, signal), this.roots);
    } catch (error) {
      if (!(error instanceof FailedPrecondition || error instanceof PermissionDenied || error instanceof DataLoss)) throw error;
      const found = await this.#inStores(manifest, signal);
      if (found) return found;
      throw error;
    }
  }

  async #inStores(manifest: Manifest, signal: AbortSignal | undefined): Promise<SampleSource | undefined> {
    const { cache } = this;
    const source = (store: ObjectStore, layout: 'pushed' | { prefix: string }) =>
      new StoreSource(manifest, { store, layout, slots: this.#slots, cache });
    const first = manifest.kind === 'tar' ? manifest.shard(manifest.fileOf(0)).sha256 : Buffer.from(manifest.hash(0)).toString('hex');
    for (const store of [this.own, ...this.others]) if (await has(store, pushedKey(first), signal)) return source(store, 'pushed');
    const { store: indexed } = await readLocation(this.own, manifest.sha256, signal);
    // A store may be known here by another prefix, or under another address.
    const segments = (indexed === undefined ? '' : prefixOf(indexed)).split('/').filter((segment) => segment !== '');
    const ends = indexed === undefined ? [] : Array.from({ length: segments.length + 1 }, (_, skipped) => segments.slice(skipped));
    for (const store of this.others)
      for (const end of ends) {
        const prefix = end.map((segment) => `${segment}/`).join('');
        if (await has(store, `${prefix}${manifest.path(0)}`, signal)) return source(store, { prefix });
      }
    if (indexed !== undefined) throw new PermissionDenied(indexed, 'the store of this data set is none that this replica may read');
    return undefined;
  }
}

async function has(store: ObjectStore, key: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await store.head(key, { signal });
    return true;
  } catch (error) {
    if (error instanceof ObjectNotFound || error instanceof InvalidKey) return false;
    throw error;
  }
}

const prefixOf = (uri: string): string => (URL.canParse(uri) ? decodeURIComponent(new URL(uri).pathname) : '');
