/** Reads single samples of an indexed data set, each checked against its SHA-256 in the manifest. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { RenderSource } from '#native/pixels.js';
import { DataLoss } from '#rpc/errors.js';
import type { Manifest } from '../manifest.js';
import type { AllowedRoots } from './allowed-roots.js';
import { interleave } from './cifar.js';
import { RecordFile } from './record-file.js';

/** Owns the record files it opened: close it. */
export class DatasetReader {
  readonly #files = new Map<string, Promise<RecordFile>>();

  constructor(
    readonly manifest: Manifest,
    /** What the manifest's paths are relative to. */
    readonly folder: string,
    private readonly roots: AllowedRoots,
  ) {}

  /**
   * The bytes of a sample as the pixel code takes them: a file, or the pixels of a record (gray ones stay one plane; it repeats them).
   * @throws DataLoss when the bytes are gone or differ from the manifest's hash; PermissionDenied when a link leads outside the roots
   */
  async read(sample: number, signal?: AbortSignal): Promise<RenderSource> {
    signal?.throwIfAborted();
    const { manifest } = this;
    const bytes = manifest.layout ? await this.#record(sample) : await this.#file(sample);
    const expected = manifest.hash(sample);
    if (bytes.byteLength !== manifest.byteLengths[sample] || !createHash('sha256').update(bytes).digest().equals(expected)) {
      const detail = `${bytes.byteLength} bytes without the SHA-256 ${Buffer.from(expected).toString('hex')} of manifest ${manifest.sha256}`;
      throw new DataLoss(`sample ${manifest.name(sample)}`, detail);
    }
    const [width, height] = [manifest.widths[sample] as number, manifest.heights[sample] as number];
    if (!manifest.layout) return { format: bytes[0] === 0x89 ? 'png' : 'jpeg', bytes, width, height };
    const { pixels, pixelOffset } = manifest.layout;
    const values = bytes.subarray(pixelOffset);
    if (pixels === 'planar_rgb') return { format: 'rgb', bytes: interleave(values), width, height };
    return { format: pixels, bytes: values, width, height };
  }

  async close(): Promise<void> {
    const files = await Promise.allSettled(this.#files.values());
    this.#files.clear();
    await Promise.all(files.map((file) => (file.status === 'fulfilled' ? file.value.close() : undefined)));
  }

  async #file(sample: number): Promise<Uint8Array> {
    const path = await this.#inside(sample);
    const size = this.manifest.byteLengths[sample] as number;
    const file = await open(path, 'r').catch((cause) => this.#gone(sample, cause));
    try {
      // The manifest bounds what is read: a file that has grown is refused by its size alone.
      const { size: found } = await file.stat();
      if (found !== size)
        throw new DataLoss(`sample ${this.manifest.name(sample)}`, `${found} bytes, ${size} in manifest ${this.manifest.sha256}`);
      const buffer = Buffer.allocUnsafe(size);
      let read = 0;
      while (read < size) {
        const { bytesRead } = await file.read(buffer, read, size - read, read);
        if (bytesRead === 0) break;
        read += bytesRead;
      }
      return buffer.subarray(0, read);
    } finally {
      await file.close();
    }
  }

  async #record(sample: number): Promise<Uint8Array> {
    const { manifest } = this;
    const { headerBytes, recordBytes } = manifest.layout!;
    const name = manifest.path(sample);
    let file = this.#files.get(name);
    if (!file) {
      file = this.#inside(sample).then((path) => RecordFile.open(path));
      // A failed open is forgotten, so that the next read tries again.
      file.catch(() => this.#files.delete(name));
      this.#files.set(name, file);
    }
    const opened = await file.catch((cause) => {
      if (cause instanceof DataLoss || !('code' in cause)) throw cause;
      return this.#gone(sample, cause);
    });
    return opened.read(headerBytes + manifest.record(sample) * recordBytes, recordBytes);
  }

  async #inside(sample: number): Promise<string> {
    const path = join(this.folder, this.manifest.path(sample));
    return this.roots.resolve(path).catch((error) => {
      if (error instanceof Error && error.name === 'NotFound') return this.#gone(sample, error);
      throw error;
    });
  }

  #gone(sample: number, cause: unknown): never {
    throw new DataLoss(`sample ${this.manifest.name(sample)}`, `it cannot be read: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
}
