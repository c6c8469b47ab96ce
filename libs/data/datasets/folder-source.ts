/** Samples in the files of a folder. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { DataLoss } from '#rpc/errors.js';
import { type Manifest, TAR_BLOCK_BYTES } from '../manifest.js';
import type { AllowedRoots } from './allowed-roots.js';
import { OpenFiles } from './open-files.js';
import { RecordFile } from './record-file.js';
import type { SampleSource, SourceReadOptions } from './sample-source.js';

const OPEN_SHARDS = 128;

export class FolderSource implements SampleSource {
  readonly #records: OpenFiles<RecordFile>;
  readonly #shards: OpenFiles<FileHandle>;

  constructor(
    private readonly manifest: Manifest,
    /** What the manifest's paths are relative to. */
    private readonly folder: string,
    private readonly roots: AllowedRoots,
  ) {
    // Data sets of records have a few files, which are all kept.
    this.#records = new OpenFiles(async (name) => await RecordFile.open(await this.#inside(name)), manifest.files.length);
    this.#shards = new OpenFiles(async (name) => await open(await this.#inside(name), 'r'), OPEN_SHARDS);
  }

  async read(sample: number, { signal }: SourceReadOptions = {}): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const { manifest } = this;
    const path = manifest.path(sample);
    const length = manifest.byteLengths[sample] as number;
    try {
      if (manifest.layout) {
        const { headerBytes, recordBytes } = manifest.layout;
        const offset = headerBytes + manifest.record(sample) * recordBytes;
        return await this.#records.use(path, (file) => file.read(offset, recordBytes));
      }
      if (manifest.kind === 'tar') {
        const offset = manifest.record(sample) * TAR_BLOCK_BYTES;
        return await this.#shards.use(path, (file) => readAt(file, offset, length));
      }
      return await this.#file(sample, await this.#inside(path), length);
    } catch (error) {
      // What the system says of files that are gone or cannot be read; also where a link leads nowhere.
      if (error instanceof Error && ('code' in error || error.name === 'NotFound') && !(error instanceof DataLoss))
        throw new DataLoss(`sample ${manifest.name(sample)}`, `it cannot be read: ${error.message}`, { cause: error });
      throw error;
    }
  }

  async forget(sample: number): Promise<boolean> {
    if (this.manifest.kind !== 'tar') return false;
    // The shard may have been exchanged for another file of its name.
    await this.#shards.forget(this.manifest.path(sample));
    return true;
  }

  async close(): Promise<void> {
    await Promise.all([this.#records.close(), this.#shards.close()]);
  }

  async #file(sample: number, path: string, size: number): Promise<Uint8Array> {
    const file = await open(path, 'r');
    try {
      // The manifest bounds what is read: a file that has grown is refused by its size alone.
      const { size: found } = await file.stat();
      if (found !== size)
        throw new DataLoss(`sample ${this.manifest.name(sample)}`, `${found} bytes, ${size} in manifest ${this.manifest.sha256}`);
      return await readAt(file, 0, size);
    } finally {
      await file.close();
    }
  }

  async #inside(path: string): Promise<string> {
    return await this.roots.resolve(join(this.folder, path));
  }
}

/** Fewer bytes where the file ends before. */
async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafe(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await file.read(buffer, read, length - read, offset + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return buffer.subarray(0, read);
}
