/** The samples of one tar shard, kept as columns and remembered as JSON. */
import { isSha256 } from '#storage/content-hash.js';
import { Uint32List } from '../manifest/uint32-list.js';
import type { ImageFacts } from './image-facts.js';
import type { TarLabel } from './web-dataset.js';

export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

const SHOWN_ORPHANS = 5;
/** Numbers of one sample, in this order. */
const COLUMNS = 5;

export class ShardSamples {
  /** Byte offset / 512, bytes, width, height, number in `labels`: five a sample. */
  readonly #numbers = new Uint32List();
  #hashes: Uint8Array = new Uint8Array(32 * 64);
  readonly labels: TarLabel[] = [];
  readonly #labelNumbers = new Map<TarLabel, number>();
  readonly skipped: Skipped[] = [];
  ignored = 0;
  /** Keys of labels without an image: the first few, and how many there are. */
  readonly orphans: string[] = [];
  orphanCount = 0;
  /** Folders of its members that look like parts of a data set. */
  readonly partFolders: string[] = [];
  /** It ends without the blocks that end an archive. */
  cut = false;
  sha256 = '';

  constructor(readonly sizeBytes: number) {}

  get length(): number {
    return this.#numbers.length / COLUMNS;
  }

  add(offset: number, sizeBytes: number, { width, height, sha256 }: ImageFacts, label: TarLabel): void {
    const number = this.#labelNumbers.get(label) ?? this.labels.length;
    if (number === this.labels.length) {
      this.labels.push(label);
      this.#labelNumbers.set(label, number);
    }
    for (const value of [offset / 512, sizeBytes, width, height, number]) this.#numbers.push(value);
    const at = 32 * (this.length - 1);
    if (at === this.#hashes.byteLength) {
      const grown = new Uint8Array(2 * at);
      grown.set(this.#hashes);
      this.#hashes = grown;
    }
    this.#hashes.set(sha256, at);
  }

  at(index: number): { record: number; byteLength: number; width: number; height: number; label: TarLabel; sha256: Uint8Array } {
    const value = (column: number) => this.#numbers.at(COLUMNS * index + column);
    const sha256 = this.#hash(index);
    return { record: value(0), byteLength: value(1), width: value(2), height: value(3), label: this.labels[value(4)] as TarLabel, sha256 };
  }

  addOrphan(path: string): void {
    if (this.orphanCount++ < SHOWN_ORPHANS) this.orphans.push(path);
  }

  #hash(index: number): Uint8Array {
    return this.#hashes.subarray(32 * index, 32 * index + 32);
  }

  toJSON() {
    const { sizeBytes, sha256, labels, skipped, ignored, orphans, orphanCount, partFolders, cut } = this;
    const hashes = Buffer.from(this.#hashes.subarray(0, 32 * this.length)).toString('base64');
    return {
      sizeBytes,
      sha256,
      labels,
      skipped,
      ignored,
      orphans,
      orphanCount,
      partFolders,
      cut,
      numbers: [...this.#numbers.values],
      hashes,
    };
  }

  /** What toJSON gave; undefined for anything else. */
  static from(json: unknown): ShardSamples | undefined {
    const { sizeBytes, sha256, labels, skipped, ignored, orphans, orphanCount, partFolders, cut, numbers, hashes } = (json ??
      {}) as Partial<ReturnType<ShardSamples['toJSON']>>;
    if (!isCount(sizeBytes) || !isCount(ignored) || typeof sha256 !== 'string' || !isSha256(sha256)) return undefined;
    if (!Array.isArray(labels) || !labels.every((label) => typeof label === 'string' || isCount(label))) return undefined;
    if (!isCount(orphanCount) || !isTexts(orphans) || !isTexts(partFolders) || typeof cut !== 'boolean') return undefined;
    if (!Array.isArray(skipped) || !Array.isArray(numbers) || typeof hashes !== 'string') return undefined;
    if (!skipped.every((item) => typeof item?.path === 'string' && typeof item.reason === 'string')) return undefined;
    const bytes = Buffer.from(hashes, 'base64');
    if (bytes.byteLength !== 32 * (numbers.length / COLUMNS)) return undefined;
    if (!numbers.every((value, i) => isCount(value) && (i % COLUMNS !== 4 || value < labels.length))) return undefined;
    const samples = new ShardSamples(sizeBytes);
    for (const value of numbers) samples.#numbers.push(value);
    samples.#hashes = bytes;
    samples.orphans.push(...orphans);
    samples.orphanCount = orphanCount;
    samples.partFolders.push(...partFolders);
    samples.cut = cut;
    samples.labels.push(...labels);
    samples.skipped.push(...skipped);
    samples.ignored = ignored;
    samples.sha256 = sha256;
    return samples;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');
