/**
 * A manifest names every sample of a data set once and for all: where its bytes lie, their SHA-256, label and size in pixels.
 * It is immutable and known by the SHA-256 of its own bytes; it does not say where the data set lies, so a copy elsewhere is the same data set.
 *
 * Bytes (all integers little endian), about 60 to 110 per sample:
 *
 *     "DSMANIF1"  u32 header length  header: canonical JSON, padded with spaces so that the columns start at a multiple of 8
 *     u32 label[N]  u32 width[N]  u32 height[N]  u32 byteLength[N]  u8 sha256[N · 32]
 *     image_folder: u32 pathEnd[N], then the UTF-8 paths back to back;   otherwise: u32 file[N]  u32 record[N]
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.js';

export const DATASET_KINDS = ['image_folder', 'cifar10', 'cifar100', 'idx'] as const;
export type DatasetKind = (typeof DATASET_KINDS)[number];

/** What the indexer found out about one sample. */
export interface ManifestEntry {
  /** Image folders: the file's path. Others: the file that holds the record. Relative to the data set's folder, '/' between segments. */
  readonly path: string;
  /** Number of the record in its file; 0 for image folders. */
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

/** The fixed parts of the bytes of a record file. */
export interface RecordLayout {
  /** Bytes before the first record. */
  readonly headerBytes: number;
  /** Bytes of one record. */
  readonly recordBytes: number;
  /** Bytes of a record before its pixels (CIFAR's labels). */
  readonly pixelOffset: number;
  /** `planar_rgb`: three planes; `rgb`: interleaved; `gray`: one plane. */
  readonly pixels: 'planar_rgb' | 'rgb' | 'gray';
}

interface Header {
  readonly format: 'dropstream.manifest.v1';
  readonly kind: DatasetKind;
  readonly split: string;
  readonly samples: number;
  readonly classes: readonly string[];
  /** Image folders: total bytes of the paths. */
  readonly pathBytes?: number;
  /** Others: the record files, and how records lie in them. */
  readonly files?: readonly string[];
  readonly layout?: RecordLayout;
}

export class InvalidManifest extends Error {
  override readonly name = 'InvalidManifest';
  constructor(readonly why: string) {
    super(`not a manifest: ${why}`);
  }
}

const MAGIC = 'DSMANIF1';
const MAX_SAMPLES = 2 ** 31;
const MAX_HEADER_BYTES = 16 << 20;
const MAX_DIMENSION = 65_535;

/** A read manifest: columns over its bytes; nothing is copied but misaligned input. */
export class Manifest {
  readonly kind: DatasetKind;
  readonly split: string;
  readonly samples: number;
  readonly classes: readonly string[];
  readonly layout: RecordLayout | undefined;
  readonly labels: Uint32Array;
  readonly widths: Uint32Array;
  readonly heights: Uint32Array;
  readonly byteLengths: Uint32Array;
  readonly #hashes: Uint8Array;
  readonly #pathEnds: Uint32Array | undefined;
  readonly #paths: Uint8Array;
  readonly #fileOf: Uint32Array | undefined;
  readonly #records: Uint32Array | undefined;
  readonly #files: readonly string[];
  #extent: ManifestExtent | undefined;

  /** @throws InvalidManifest */
  constructor(
    bytes: Uint8Array,
    /** 64 hex digits. */
    readonly sha256: string,
  ) {
    const view = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    const { header, start } = readHeader(view);
    const n = header.samples;
    let at = start;
    const take = (length: number): number => {
      const from = at;
      at += length;
      if (at > view.byteLength) throw new InvalidManifest(`${view.byteLength} bytes end inside a column (${at} needed)`);
      return from;
    };
    const column = () => new Uint32Array(view.buffer, view.byteOffset + take(4 * n), n);
    this.kind = header.kind;
    this.split = header.split;
    this.samples = n;
    this.classes = header.classes;
    this.layout = header.layout;
    this.labels = column();
    this.widths = column();
    this.heights = column();
    this.byteLengths = column();
    this.#hashes = view.subarray(take(32 * n), at);
    this.#files = header.files ?? [];
    if (header.kind === 'image_folder') {
      this.#pathEnds = column();
      this.#paths = view.subarray(take(header.pathBytes as number), at);
    } else {
      this.#paths = new Uint8Array();
      this.#fileOf = column();
      this.#records = column();
    }
    if (at !== view.byteLength) throw new InvalidManifest(`${view.byteLength - at} bytes follow the last column`);
    this.#check();
  }

  /** Path of a sample's file within the data set. @throws InvalidManifest when it could leave the folder */
  path(sample: number): string {
    if (!this.#pathEnds) return this.#files[this.#fileOf![sample] as number] as string;
    const from = sample === 0 ? 0 : (this.#pathEnds[sample - 1] as number);
    const path = Buffer.from(this.#paths.buffer, this.#paths.byteOffset + from, (this.#pathEnds[sample] as number) - from).toString('utf8');
    if (!isInnerPath(path)) throw new InvalidManifest(`path ${JSON.stringify(path)} of sample ${sample} leaves the data set`);
    return path;
  }

  /** Number of a sample's record within its file; 0 for image folders. */
  record(sample: number): number {
    return this.#records?.[sample] ?? 0;
  }

  hash(sample: number): Uint8Array {
    return this.#hashes.subarray(32 * sample, 32 * sample + 32);
  }

  /** For messages: the path, with the record where a file holds many. */
  name(sample: number): string {
    return this.kind === 'image_folder' ? this.path(sample) : `${this.path(sample)}#${this.record(sample)}`;
  }

  /** Samples of each class. */
  classCounts(): number[] {
    const counts = new Array<number>(this.classes.length).fill(0);
    for (const label of this.labels) counts[label]!++;
    return counts;
  }

  /** Smallest and largest sides. Computed once. */
  get extent(): ManifestExtent {
    if (this.#extent) return this.#extent;
    const extent = { minWidth: Infinity, maxWidth: 0, minHeight: Infinity, maxHeight: 0 };
    for (let i = 0; i < this.samples; i++) {
      const [w, h] = [this.widths[i] as number, this.heights[i] as number];
      if (w < extent.minWidth) extent.minWidth = w;
      if (w > extent.maxWidth) extent.maxWidth = w;
      if (h < extent.minHeight) extent.minHeight = h;
      if (h > extent.maxHeight) extent.maxHeight = h;
    }
    this.#extent = extent;
    return extent;
  }

  #check(): void {
    const [ends, files] = [this.#pathEnds, this.#fileOf];
    let last = 0;
    for (let i = 0; i < this.samples; i++) {
      if ((this.labels[i] as number) >= this.classes.length)
        throw new InvalidManifest(`label ${this.labels[i]} of sample ${i}: there are ${this.classes.length} classes`);
      const [w, h] = [this.widths[i] as number, this.heights[i] as number];
      if (w < 1 || h < 1 || w > MAX_DIMENSION || h > MAX_DIMENSION) throw new InvalidManifest(`sample ${i} of ${w} x ${h} pixels`);
      if (ends) {
        const end = ends[i] as number;
        if (end <= last || end > this.#paths.byteLength) throw new InvalidManifest(`path of sample ${i} ends at ${end}`);
        last = end;
      } else if ((files![i] as number) >= this.#files.length) throw new InvalidManifest(`file ${files![i]} of sample ${i}`);
      else if ((this.byteLengths[i] as number) !== this.layout!.recordBytes)
        throw new InvalidManifest(`record of ${this.byteLengths[i]} bytes of sample ${i}`);
    }
    if (ends && last !== this.#paths.byteLength) throw new InvalidManifest('bytes follow the last path');
  }
}

export interface ManifestExtent {
  readonly minWidth: number;
  readonly maxWidth: number;
  readonly minHeight: number;
  readonly maxHeight: number;
}

/** The bytes of a manifest and the SHA-256 that names it. Entries keep their order: it is the sequential order of the data set. */
export function encodeManifest(dataset: {
  readonly kind: DatasetKind;
  readonly split: string;
  readonly classes: readonly string[];
  readonly layout?: RecordLayout | undefined;
  readonly entries: readonly ManifestEntry[];
}): { bytes: Uint8Array; sha256: string } {
  const { kind, split, classes, layout, entries } = dataset;
  const folder = kind === 'image_folder';
  const paths = folder ? entries.map((entry) => Buffer.from(entry.path, 'utf8')) : [];
  const pathBytes = paths.reduce((sum, path) => sum + path.byteLength, 0);
  const files = folder ? [] : [...new Set(entries.map((entry) => entry.path))];
  const header = canonicalJson({
    format: 'dropstream.manifest.v1',
    kind,
    split,
    samples: entries.length,
    classes,
    ...(folder ? { pathBytes } : { files, layout: { ...(layout as RecordLayout) } }),
  });
  const headerBytes = Math.ceil((12 + Buffer.byteLength(header)) / 8) * 8 - 12;
  const n = entries.length;
  const bytes = new Uint8Array(12 + headerBytes + n * (16 + 32) + (folder ? 4 * n + pathBytes : 8 * n));
  const buffer = Buffer.from(bytes.buffer);
  buffer.write(MAGIC, 0, 'latin1');
  buffer.writeUInt32LE(headerBytes, 8);
  buffer.fill(0x20, 12, 12 + headerBytes);
  buffer.write(header, 12, 'utf8');
  let at = 12 + headerBytes;
  const column = (value: (entry: ManifestEntry, index: number) => number): void => {
    new Uint32Array(bytes.buffer, at, n).set(entries.map(value));
    at += 4 * n;
  };
  column((entry) => entry.label);
  column((entry) => entry.width);
  column((entry) => entry.height);
  column((entry) => entry.byteLength);
  for (const entry of entries) {
    bytes.set(entry.sha256, at);
    at += 32;
  }
  if (folder) {
    let end = 0;
    column((_, index) => (end += (paths[index] as Buffer).byteLength));
    for (const path of paths) {
      bytes.set(path, at);
      at += path.byteLength;
    }
  } else {
    const number = new Map(files.map((file, index) => [file, index]));
    column((entry) => number.get(entry.path) as number);
    column((entry) => entry.record);
  }
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** A relative path of plain segments: none empty, '.' or '..', no backslash and no NUL. */
export function isInnerPath(path: string): boolean {
  return (
    path.length > 0 && !/[\\\0]/.test(path) && path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
  );
}

function readHeader(bytes: Uint8Array): { header: Header; start: number } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.byteLength < 12 || buffer.toString('latin1', 0, 8) !== MAGIC) throw new InvalidManifest(`it does not start with ${MAGIC}`);
  const length = buffer.readUInt32LE(8);
  const start = 12 + length;
  if (length > MAX_HEADER_BYTES || start > buffer.byteLength || start % 8 !== 0) throw new InvalidManifest(`a header of ${length} bytes`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(buffer.toString('utf8', 12, start));
  } catch {
    throw new InvalidManifest('its header is not JSON');
  }
  return { header: checkHeader(parsed), start };
}

function checkHeader(parsed: unknown): Header {
  const require = (holds: boolean, what: string): void => {
    if (!holds) throw new InvalidManifest(`header: ${what}`);
  };
  require(typeof parsed === 'object' && parsed !== null, 'not an object');
  const header = parsed as Partial<Header>;
  const texts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');
  const count = (value: unknown, max: number): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max;
  require(header.format === 'dropstream.manifest.v1', `format ${JSON.stringify(header.format)}`);
  require(DATASET_KINDS.includes(header.kind as DatasetKind), `kind ${JSON.stringify(header.kind)}`);
  require(typeof header.split === 'string', 'split');
  require(count(header.samples, MAX_SAMPLES) && (header.samples as number) > 0, `samples ${header.samples}`);
  require(texts(header.classes), 'classes');
  if (header.kind === 'image_folder') {
    require(count(header.pathBytes, 2 ** 32), `pathBytes ${header.pathBytes}`);
  } else {
    require(texts(header.files) && header.files.every(isInnerPath), 'files');
    const layout = header.layout as Partial<RecordLayout> | undefined;
    require(typeof layout === 'object' && layout !== null, 'layout');
    for (const field of ['headerBytes', 'recordBytes', 'pixelOffset'] as const)
      require(count(layout?.[field], 2 ** 31), `layout.${field} ${layout?.[field]}`);
    require(['planar_rgb', 'rgb', 'gray'].includes(layout?.pixels as string), `layout.pixels ${JSON.stringify(layout?.pixels)}`);
  }
  return header as Header;
}
