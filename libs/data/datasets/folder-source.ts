/** Samples in the files of a folder. */
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { DataLoss, NotFound } from '#errors/errors.js';
import { type FileToRead, readFiles } from '#native/files.js';
import { type Manifest, TAR_BLOCK_BYTES } from '../manifest/manifest.js';
import type { RecordLayout } from '../manifest/manifest-header.js';
import type { AllowedRoots } from './allowed-roots.js';
import { OpenFiles } from './open-files.js';
import { RecordFile } from './record-file.js';
import { openRegularFile } from './regular-file.js';
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
    const { headerBytes = 0, recordBytes = 0 } = manifest.layout ?? {};
    const most = headerBytes + manifest.samples * recordBytes;
    this.#records = new OpenFiles(async (name) => await RecordFile.open(await this.#inside(name), most), manifest.files.length);
    this.#shards = new OpenFiles(async (name) => await openRegularFile(await this.#inside(name)), OPEN_SHARDS);
  }

  async read(samples: readonly number[], options: SourceReadOptions = {}): Promise<Uint8Array[]> {
    options.signal?.throwIfAborted();
    if (this.manifest.kind === 'image_folder') return await this.#files(samples, options);
    return await (this.manifest.kind === 'tar' ? this.#members(samples, options) : this.#recordsOf(samples));
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

  async #files(samples: readonly number[], { signal, allocate }: SourceReadOptions): Promise<Uint8Array[]> {
    const { manifest, folder, roots } = this;
    const files = samples.map((sample) => ({
      path: join(folder, manifest.path(sample)),
      sizeBytes: manifest.byteLengths[sample] as number,
    }));
    for (const { path } of files) roots.checkName(path);
    const outcomes = await readFiles(files, { folders: roots.folders, allocate, signal });
    return outcomes.map((outcome, i) => {
      if (outcome.kind === 'read') return outcome.bytes;
      if (outcome.kind === 'outside') return roots.refuse((files[i] as FileToRead).path);
      const name = manifest.name(samples[i] as number);
      if (outcome.kind === 'failed') throw new DataLoss(`sample ${name}`, `it cannot be read: ${outcome.reason}`);
      const { sizeBytes } = files[i] as FileToRead;
      throw new DataLoss(`sample ${name}`, `${outcome.sizeBytes} bytes, ${sizeBytes} in manifest ${manifest.sha256}`);
    });
  }

  /** Members of shards, which stay open. */
  async #members(samples: readonly number[], { allocate = Buffer.allocUnsafeSlow }: SourceReadOptions): Promise<Uint8Array[]> {
    const { manifest } = this;
    const lengths = samples.map((sample) => manifest.byteLengths[sample] as number);
    const memory = allocate(lengths.reduce((sum, length) => sum + length, 0));
    let at = 0;
    const reads = samples.map((sample, i) => {
      const out = memory.subarray(at, at + (lengths[i] as number));
      at += out.byteLength;
      const offset = manifest.record(sample) * TAR_BLOCK_BYTES;
      return this.#naming(sample, () => this.#shards.use(manifest.path(sample), (file) => readAt(file, offset, out)));
    });
    // Even where one fails, nothing may be written afterwards.
    await Promise.allSettled(reads);
    return await Promise.all(reads);
  }

  async #recordsOf(samples: readonly number[]): Promise<Uint8Array[]> {
    const { manifest } = this;
    const { headerBytes, recordBytes } = manifest.layout as RecordLayout;
    const read = async (sample: number) => {
      const offset = headerBytes + manifest.record(sample) * recordBytes;
      return await this.#records.use(manifest.path(sample), (file) => file.read(offset, recordBytes));
    };
    return await Promise.all(samples.map((sample) => this.#naming(sample, () => read(sample))));
  }

  async #naming<T>(sample: number, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      // What the system says of files that are gone or cannot be read; also where a link leads nowhere.
      if (error instanceof Error && ('code' in error || error instanceof NotFound) && !(error instanceof DataLoss))
        throw new DataLoss(`sample ${this.manifest.name(sample)}`, `it cannot be read: ${error.message}`, { cause: error });
      throw error;
    }
  }

  async #inside(path: string): Promise<string> {
    return await this.roots.resolve(join(this.folder, path));
  }
}

/** Fewer bytes where the file ends before. */
async function readAt(file: FileHandle, offset: number, out: Uint8Array): Promise<Uint8Array> {
  let read = 0;
  while (read < out.byteLength) {
    const { bytesRead } = await file.read(out, read, out.byteLength - read, offset + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return out.subarray(0, read);
}
