/** Writes manifests column by column, without an object for each sample. */
import { invalid } from '#errors/errors.js';
import { maxClassNameBytes } from '#errors/limits.js';
import { canonicalJson } from '../plan/canonical-json.js';
import { type DatasetKind, MAGIC, type ManifestHeader, type RecordLayout } from './manifest-header.js';
import { PathList } from './path-list.js';
import { Uint32List } from './uint32-list.js';

/** What the indexer found out about one sample. */
export interface ManifestEntry {
  /**
   * Image folders: the path of the image file. Other kinds: the path of the file that holds the record. Relative to the data set's folder, with '/'
   * between segments.
   */
  readonly path: string;
  /** Index of the record in its file (tar: of the 512-byte block with its first byte); 0 for image folders. */
  readonly record: number;
  readonly label: number;
  /** Pixels. */
  readonly width: number;
  /** Pixels. */
  readonly height: number;
  /** Bytes of the file, or of the record. */
  readonly byteLength: number;
  /** SHA-256 of the file's bytes, or of the record's. */
  readonly sha256: Uint8Array;
}

/** What a manifest says about the data set as a whole. */
export interface ManifestFacts {
  readonly kind: DatasetKind;
  readonly split: string;
  readonly classes: readonly string[];
  /** Only for CIFAR and IDX. */
  readonly layout?: RecordLayout | undefined;
  /** Only for tar: size in bytes and SHA-256 (hex) of every shard that holds a sample. */
  readonly shards?: ReadonlyMap<string, { readonly sizeBytes: number; readonly sha256: string }> | undefined;
}

/** Builds a manifest. Entries keep their order, which is the sequential order of the data set. */
export class ManifestBuilder {
  readonly #labels = new Uint32List();
  readonly #widths = new Uint32List();
  readonly #heights = new Uint32List();
  readonly #byteLengths = new Uint32List();
  readonly #records = new Uint32List();
  readonly #fileOf = new Uint32List();
  readonly #files = new Map<string, number>();
  readonly #paths = new PathList();
  #hashes = new Uint8Array(32 * 1024);

  /** `filePerSample`: whether every sample is a file of its own (image folders). */
  constructor(private readonly filePerSample: boolean) {}

  get samples(): number {
    return this.#labels.length;
  }

  add({ path, record, label, width, height, byteLength, sha256 }: ManifestEntry): void {
    const at = 32 * this.samples;
    if (at === this.#hashes.byteLength) {
      const grown = new Uint8Array(2 * at);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes.set(sha256, at);
    this.#labels.push(label);
    this.#widths.push(width);
    this.#heights.push(height);
    this.#byteLengths.push(byteLength);
    if (this.filePerSample) {
      this.#paths.push(path);
      return;
    }
    const file = this.#files.get(path) ?? this.#files.size;
    this.#files.set(path, file);
    this.#fileOf.push(file);
    this.#records.push(record);
  }

  /** The bytes of the manifest; their SHA-256 names it. @throws InvalidArgument if the names of the classes are too long */
  bytes(facts: ManifestFacts): Uint8Array {
    checkClassNames(facts.classes);
    const n = this.samples;
    const header = Buffer.from(canonicalJson(this.#header(facts)));
    const headerBytes = Math.ceil((12 + header.byteLength) / 8) * 8 - 12;
    const columns = [this.#labels, this.#widths, this.#heights, this.#byteLengths];
    const places = this.filePerSample ? [this.#paths.ends] : [this.#fileOf, this.#records];
    const pathBytes = this.filePerSample ? this.#paths.bytes : new Uint8Array();
    const bytes = new Uint8Array(12 + headerBytes + n * (32 + 4 * (columns.length + places.length)) + pathBytes.byteLength);
    const start = Buffer.from(bytes.buffer, 0, 12 + headerBytes).fill(0x20, 12);
    start.write(MAGIC, 0, 'latin1');
    start.writeUInt32LE(headerBytes, 8);
    start.set(header, 12);
    let at = 12 + headerBytes;
    const put = (part: Uint8Array): void => {
      bytes.set(part, at);
      at += part.byteLength;
    };
    for (const column of columns) put(column.bytes);
    put(this.#hashes.subarray(0, 32 * n));
    for (const column of places) put(column.bytes);
    put(pathBytes);
    return bytes;
  }

  #header({ kind, split, classes, layout, shards }: ManifestFacts) {
    const files = [...this.#files.keys()];
    const common = { format: 'dropstream.manifest.v1', kind, split, samples: this.samples, classes } satisfies ManifestHeader;
    if (this.filePerSample) return { ...common, pathBytes: this.#paths.bytes.byteLength };
    if (!shards) return { ...common, files, layout: { ...(layout as RecordLayout) } };
    const used = files.map((file) => shards.get(file) as { sizeBytes: number; sha256: string });
    return { ...common, files, fileBytes: used.map(({ sizeBytes }) => sizeBytes), fileSha256: used.map(({ sha256 }) => sha256) };
  }
}

function checkClassNames(classes: readonly string[]): void {
  const bytes = classes.reduce((sum, name) => sum + Buffer.byteLength(name) + 8, 0);
  if (bytes > maxClassNameBytes) {
    const allowed = `fewer classes or shorter names: at most ${maxClassNameBytes} bytes, with 8 bytes more for each class`;
    throw invalid('classes', `${classes.length} classes whose names take ${bytes} bytes`, allowed);
  }
}
