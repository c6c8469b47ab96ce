/**
 * Samples in objects of a store: images that are objects, or ranges of tar shards. Reads are bounded, have a deadline (the store retries within
 * it), and go through a disk cache where there is one.
 */
import { createHash } from 'node:crypto';
import { orAborted } from '#bounds/or-aborted.js';
import { DataLoss } from '#errors/errors.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import type { SampleSource, SourceReadOptions } from '../datasets/sample-source.js';
import { type Manifest, TAR_BLOCK_BYTES } from '../manifest/manifest.js';
import type { DiskCache } from './disk-cache.js';
import { pushedKey } from './object-keys.js';
import type { ReadSlots } from './read-slots.js';

export interface StoreSourceOptions {
  readonly store: ObjectStore;
  /** `pushed`: objects named by content; otherwise the folder of the manifest's paths, '' or ending in '/'. */
  readonly layout: 'pushed' | { readonly prefix: string };
  readonly slots: ReadSlots;
  readonly cache: DiskCache | undefined;
}

/** A part of a shard that is fetched and kept as one where neighbours are read too. */
const CHUNK_BYTES = 1 << 20;
const READ_MS = 60_000;

export class StoreSource implements SampleSource {
  /** Fetches under way, by name in the cache: what several callers want is fetched once. */
  readonly #fetching = new Map<string, Promise<Buffer>>();

  constructor(
    private readonly manifest: Manifest,
    private readonly options: StoreSourceOptions,
  ) {}

  async read(samples: readonly number[], { signal, nearby = false }: SourceReadOptions = {}): Promise<Uint8Array[]> {
    signal?.throwIfAborted();
    return await Promise.all(samples.map((sample) => this.#read(sample, nearby, signal)));
  }

  async #read(sample: number, nearby: boolean, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { manifest } = this;
    const length = manifest.byteLengths[sample] as number;
    const work = this.#inChunks(nearby) ? this.#fromChunks(sample, length) : this.#whole(sample, length);
    return await (signal ? orAborted(work, signal) : work).catch((error) => {
      if (!(error instanceof ObjectNotFound)) throw error;
      throw new DataLoss(`sample ${manifest.name(sample)}`, `there is no object ${error.key} in ${this.options.store.uri}`, {
        cause: error,
      });
    });
  }

  async forget(sample: number): Promise<boolean> {
    const { cache } = this.options;
    if (!cache) return false;
    await cache.forget(this.#sampleName(sample));
    for (const chunk of this.#chunksOf(sample)) await cache.forget(chunk.name);
    return true;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#fetching.values());
  }

  /** Only a cache makes the rest of a chunk worth its transfer. */
  #inChunks(nearby: boolean): boolean {
    return nearby && this.manifest.kind === 'tar' && this.options.cache !== undefined;
  }

  async #whole(sample: number, length: number): Promise<Buffer> {
    const name = this.#sampleName(sample);
    const cached = await this.options.cache?.read(name, 0, length);
    if (cached) return cached;
    const key = this.#key(sample);
    if (this.manifest.kind === 'tar') {
      const offset = this.manifest.record(sample) * TAR_BLOCK_BYTES;
      return await this.#fetchOnce(name, length, (store, signal) => store.getRange(key, offset, length, { signal }));
    }
    // A byte more, so that an object that has grown is seen and not cut.
    return await this.#fetchOnce(name, length, (store, signal) => store.getRange(key, 0, length + 1, { signal }));
  }

  async #fromChunks(sample: number, length: number): Promise<Buffer> {
    const start = this.manifest.record(sample) * TAR_BLOCK_BYTES;
    const parts = this.#chunksOf(sample).map(async ({ name, offset, sizeBytes }) => {
      const from = Math.max(0, start - offset);
      const size = Math.min(start + length - offset, sizeBytes) - from;
      const cached = await this.options.cache?.read(name, from, size);
      if (cached) return cached;
      const fetched = await this.#fetchOnce(name, sizeBytes, (store, signal) =>
        store.getRange(this.#key(sample), offset, sizeBytes, { signal }),
      );
      return fetched.subarray(from, from + size);
    });
    const [first, ...others] = await Promise.all(parts);
    return others.length === 0 ? (first as Buffer) : Buffer.concat([first as Buffer, ...others]);
  }

  /** The chunks that hold a sample of a shard, in order. */
  #chunksOf(sample: number): { name: string; offset: number; sizeBytes: number }[] {
    const { manifest } = this;
    if (manifest.kind !== 'tar') return [];
    const shard = manifest.shard(manifest.fileOf(sample));
    const start = manifest.record(sample) * TAR_BLOCK_BYTES;
    const first = Math.floor(start / CHUNK_BYTES);
    const last = Math.floor((start + (manifest.byteLengths[sample] as number) - 1) / CHUNK_BYTES);
    return Array.from({ length: Math.max(1, last - first + 1) }, (_, i) => {
      const chunk = first + i;
      const name = createHash('sha256').update(`${shard.sha256}/${CHUNK_BYTES}/${chunk}`).digest('hex');
      return { name, offset: chunk * CHUNK_BYTES, sizeBytes: Math.min(CHUNK_BYTES, shard.sizeBytes - chunk * CHUNK_BYTES) };
    });
  }

  /** For all who ask at the same time, with a deadline of its own; kept in the cache before anyone has it. */
  #fetchOnce(name: string, sizeBytes: number, fetch: (store: ObjectStore, signal: AbortSignal) => Promise<Buffer>): Promise<Buffer> {
    const { store, slots, cache } = this.options;
    const known = this.#fetching.get(name);
    if (known) return known;
    const fetching = slots
      .run(async () => {
        const bytes = await fetch(store, AbortSignal.timeout(READ_MS));
        if (bytes.byteLength === sizeBytes) await cache?.write(name, bytes);
        return bytes;
      })
      .finally(() => this.#fetching.delete(name));
    fetching.catch(() => {});
    this.#fetching.set(name, fetching);
    return fetching;
  }

  #sampleName(sample: number): string {
    return Buffer.from(this.manifest.hash(sample)).toString('hex');
  }

  #key(sample: number): string {
    const { manifest } = this;
    const { layout } = this.options;
    if (layout !== 'pushed') return `${layout.prefix}${manifest.path(sample)}`;
    return pushedKey(manifest.kind === 'tar' ? manifest.shard(manifest.fileOf(sample)).sha256 : this.#sampleName(sample));
  }
}
