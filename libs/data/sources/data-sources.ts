/** Finds where the bytes of a manifest's data set are: in an allowed folder of this machine, or in an allowed object store. */
import { DataLoss, FailedPrecondition, PermissionDenied } from '#errors/errors.js';
import { InvalidKey, ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import type { AllowedRoots } from '../datasets/allowed-roots.js';
import { FolderSource } from '../datasets/folder-source.js';
import { mayUse, type ProjectPlace, parseProjectPlace } from '../datasets/project-place.js';
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
  /** Stores that may be read besides; each may say which projects may use it, as project-place.ts defines. Default none. */
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

/** A store that may be read besides the own one. */
interface OtherStore extends Pick<ProjectPlace, 'projects'> {
  readonly store: ObjectStore;
  /** What the full names of its objects begin with, to see that one store lies in another. */
  readonly base: string;
}

/** A data set, and the project for which it is read. */
interface Sought {
  readonly project: string;
  readonly manifest: Manifest;
}

export class DataSources {
  readonly #slots: ReadSlots;

  private constructor(
    private readonly own: ObjectStore,
    private readonly others: readonly OtherStore[],
    private readonly roots: AllowedRoots,
    private readonly cache: DiskCache | undefined,
    reads: number,
  ) {
    this.#slots = new ReadSlots(reads);
  }

  /** @throws InvalidStoreUri, InvalidArgument, or where the cache's folder cannot be written */
  static async open(options: DataSourcesOptions): Promise<DataSources> {
    const { store, roots, stores = [], cacheFolder, cacheBytes = 2 ** 36, reads = 24, env = process.env } = options;
    // Only read: nothing has to be enforced, and a store that is away now may be back when it is needed.
    const opened = await Promise.all(
      stores.map(async (text) => {
        const { place, projects } = parseProjectPlace(text, '--source');
        const other = await openStore(place, { env, probe: false, foreignKeys: true });
        return { store: other, projects, base: baseOf(other.uri) };
      }),
    );
    const cache = cacheFolder === undefined ? undefined : await DiskCache.open(cacheFolder, cacheBytes);
    return new DataSources(store, opened, roots, cache, reads);
  }

  get cacheCounts(): CacheCounts | undefined {
    return this.cache?.counts;
  }

  /**
   * Where a project finds its data set: a folder first, then what was pushed, then where the manifest was made. It follows a data set that moves: the place is looked up
   * again where bytes are gone or others than the manifest's, and every few seconds while they are read. To be closed by the caller.
   * @throws FailedPrecondition where it is nowhere, DataLoss where what says where it is cannot be read, PermissionDenied where it is outside of what
   * is allowed, StoreUnavailable
   */
  async find(project: string, manifest: Manifest, signal?: AbortSignal): Promise<SampleSource> {
    const of = { project, sha256: manifest.sha256 };
    const placeNow = async (stop?: AbortSignal) => JSON.stringify(await readLocation(this.own, of, stop));
    const find = async (stop?: AbortSignal) => {
      // The place first: where it changes in between, the next look finds the difference.
      const place = await placeNow(stop);
      return { place, source: await this.#find({ project, manifest }, stop) };
    };
    return new RelocatingSource(
      await find(signal),
      () => find(AbortSignal.timeout(FIND_MS)),
      (closing) => placeNow(AbortSignal.any([closing, AbortSignal.timeout(FIND_MS)])),
    );
  }

  async close(): Promise<void> {
    await this.cache?.close();
    await Promise.all(this.others.map(({ store }) => store.close()));
  }

  async #find(sought: Sought, signal: AbortSignal | undefined): Promise<SampleSource> {
    const { project, manifest } = sought;
    const roots = this.roots.for(project);
    try {
      return new FolderSource(manifest, await findDataset(this.own, project, manifest, roots, signal), roots);
    } catch (error) {
      if (!(error instanceof FailedPrecondition || error instanceof PermissionDenied || error instanceof DataLoss)) throw error;
      const found = await this.#inStores(sought, signal);
      if (found) return found;
      throw error;
    }
  }

  async #inStores({ project, manifest }: Sought, signal: AbortSignal | undefined): Promise<SampleSource | undefined> {
    const { cache, others } = this;
    /** The innermost store that holds the object decides. */
    const mayRead = ({ base }: OtherStore, key: string): boolean => {
      const around = others.filter((other) => `${base}${key}`.startsWith(other.base));
      const innermost = Math.max(...around.map((other) => other.base.length));
      return around.some((other) => other.base.length === innermost && mayUse(other, project));
    };
    const source = (store: ObjectStore, layout: 'pushed' | { prefix: string }) =>
      new StoreSource(manifest, { store, layout, slots: this.#slots, cache });
    const first = manifest.kind === 'tar' ? manifest.shard(manifest.fileOf(0)).sha256 : Buffer.from(manifest.hash(0)).toString('hex');
    const pushed = pushedKey(first);
    if (await has(this.own, pushed, signal)) return source(this.own, 'pushed');
    for (const other of others)
      if (mayRead(other, pushed) && (await has(other.store, pushed, signal))) return source(other.store, 'pushed');
    const { store: indexed } = await readLocation(this.own, { project, sha256: manifest.sha256 }, signal);
    // A store may be known here by another prefix, or under another address.
    const segments = (indexed === undefined ? '' : prefixOf(indexed)).split('/').filter((segment) => segment !== '');
    const ends = indexed === undefined ? [] : Array.from({ length: segments.length + 1 }, (_, skipped) => segments.slice(skipped));
    for (const other of others)
      for (const end of ends) {
        const prefix = end.map((segment) => `${segment}/`).join('');
        const key = `${prefix}${manifest.path(0)}`;
        if (mayRead(other, key) && (await has(other.store, key, signal))) return source(other.store, { prefix });
      }
    if (indexed !== undefined)
      throw new PermissionDenied(indexed, `the store of this data set is none that this replica may read for project ${project}`);
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

/** The endpoint, the bucket and the prefix of a store, or its folder, with a final slash. */
function baseOf(uri: string): string {
  const { protocol, host, pathname, searchParams } = new URL(uri);
  return `${searchParams.get('endpoint') ?? ''} ${protocol}//${host}${decodeURIComponent(pathname)}`.replace(/\/*$/, '/');
}

const prefixOf = (uri: string): string => (URL.canParse(uri) ? decodeURIComponent(new URL(uri).pathname) : '');
