/** Reads samples of an indexed data set, each checked against its SHA-256 in the manifest. */
import { createHash } from 'node:crypto';
import { DataLoss } from '#errors/errors.js';
import { formatOf, type RenderSource } from '#native/pixels.js';
import type { Manifest } from '../manifest/manifest.js';
import { interleave } from './cifar.js';
import type { SampleSource, SourceReadOptions } from './sample-source.js';

/** Owns its source: close it. */
export class DatasetReader {
  constructor(
    readonly manifest: Manifest,
    private readonly source: SampleSource,
  ) {}

  /** One sample, as `readAll`. */
  async read(sample: number, options: SourceReadOptions = {}): Promise<RenderSource> {
    const [source] = await this.readAll([sample], options);
    return source as RenderSource;
  }

  /**
   * The bytes of samples as the pixel code takes them: files, or the pixels of records (gray ones stay one plane; it repeats them).
   * @throws DataLoss when bytes are gone or differ from the manifest's hash; PermissionDenied when a link leads outside the roots;
   * StoreUnavailable
   */
  async readAll(samples: readonly number[], options: SourceReadOptions = {}): Promise<RenderSource[]> {
    options.signal?.throwIfAborted();
    const bytes = await this.source.read(samples, options);
    return await Promise.all(samples.map((sample, i) => this.#checked(sample, bytes[i] as Uint8Array, options)));
  }

  async close(): Promise<void> {
    await this.source.close();
  }

  async #checked(sample: number, read: Uint8Array, { signal, nearby }: SourceReadOptions): Promise<RenderSource> {
    const { manifest, source } = this;
    let bytes = read;
    let whole = this.#isWhole(sample, bytes);
    if (!whole && (await source.forget(sample))) {
      bytes = (await source.read([sample], { signal, nearby }))[0] as Uint8Array;
      whole = this.#isWhole(sample, bytes);
    }
    if (!whole) {
      const expected = Buffer.from(manifest.hash(sample)).toString('hex');
      const detail = `${bytes.byteLength} bytes without the SHA-256 ${expected} of manifest ${manifest.sha256}`;
      throw new DataLoss(`sample ${manifest.name(sample)}`, detail);
    }
    const [width, height] = [manifest.widths[sample] as number, manifest.heights[sample] as number];
    if (!manifest.layout) return { format: formatOf(bytes), bytes, width, height };
    const { pixels, pixelOffset } = manifest.layout;
    const values = bytes.subarray(pixelOffset);
    if (pixels === 'planar_rgb') return { format: 'rgb', bytes: interleave(values), width, height };
    return { format: pixels, bytes: values, width, height };
  }

  #isWhole(sample: number, bytes: Uint8Array): boolean {
    const { manifest } = this;
    return bytes.byteLength === manifest.byteLengths[sample] && createHash('sha256').update(bytes).digest().equals(manifest.hash(sample));
  }
}
