/** The samples of one tar shard: found by reading it once, kept as columns, remembered as JSON. */
import { isSha256 } from '#storage/content-hash.js';
import { Uint32List } from '../manifest/uint32-list.js';
import type { FileTree } from './file-tree.js';
import { type ImageFacts, imageFacts, MAX_IMAGE_BYTES } from './image-facts.js';
import { ShardWindow } from './shard-window.js';
import { type TarMember, tarMembers } from './tar.js';
import { labelIn, labelOfFolder, MAX_LABEL_BYTES, memberOf, type TarLabel } from './web-dataset.js';

export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

/** Numbers of one sample, in this order. */
const COLUMNS = 5;

export class ShardSamples {
  /** Byte offset / 512, bytes, width, height, number in `labels`: five a sample. */
  readonly #numbers = new Uint32List();
  #hashes: Uint8Array[] = [];
  readonly labels: TarLabel[] = [];
  readonly #labelNumbers = new Map<TarLabel, number>();
  readonly skipped: Skipped[] = [];
  ignored = 0;
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
    this.#hashes.push(sha256);
  }

  at(index: number): { record: number; byteLength: number; width: number; height: number; label: TarLabel; sha256: Uint8Array } {
    const value = (column: number) => this.#numbers.at(COLUMNS * index + column);
    const sha256 = this.#hash(index);
    return { record: value(0), byteLength: value(1), width: value(2), height: value(3), label: this.labels[value(4)] as TarLabel, sha256 };
  }

  /** One buffer for all hashes: called when the last sample has been added. */
  seal(): void {
    this.#hashes = [Buffer.concat(this.#hashes)];
  }

  #hash(index: number): Uint8Array {
    return (this.#hashes[0] as Uint8Array).subarray(32 * index, 32 * index + 32);
  }

  toJSON() {
    const { sizeBytes, sha256, labels, skipped, ignored } = this;
    const hashes = Buffer.from(this.#hashes[0] ?? []).toString('base64');
    return { sizeBytes, sha256, labels, skipped, ignored, numbers: [...this.#numbers.values], hashes };
  }

  /** What toJSON gave; undefined for anything else. */
  static from(json: unknown): ShardSamples | undefined {
    const { sizeBytes, sha256, labels, skipped, ignored, numbers, hashes } = (json ?? {}) as Partial<ReturnType<ShardSamples['toJSON']>>;
    if (!isCount(sizeBytes) || !isCount(ignored) || typeof sha256 !== 'string' || !isSha256(sha256)) return undefined;
    if (!Array.isArray(labels) || !labels.every((label) => typeof label === 'string' || isCount(label))) return undefined;
    if (!Array.isArray(skipped) || !Array.isArray(numbers) || typeof hashes !== 'string') return undefined;
    if (!skipped.every((item) => typeof item?.path === 'string' && typeof item.reason === 'string')) return undefined;
    const bytes = Buffer.from(hashes, 'base64');
    if (bytes.byteLength !== 32 * (numbers.length / COLUMNS)) return undefined;
    if (!numbers.every((value, i) => isCount(value) && (i % COLUMNS !== 4 || value < labels.length))) return undefined;
    const samples = new ShardSamples(sizeBytes);
    for (const value of numbers) samples.#numbers.push(value);
    samples.#hashes = [bytes];
    samples.labels.push(...labels);
    samples.skipped.push(...skipped);
    samples.ignored = ignored;
    samples.sha256 = sha256;
    return samples;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Reads a shard once. @throws InvalidTar, the signal's reason, Error when the file cannot be read or changes */
export async function readShard(tree: FileTree, path: string, sizeBytes: number, signal?: AbortSignal): Promise<ShardSamples> {
  const window = new ShardWindow(tree, path, sizeBytes, signal);
  const samples = new ShardSamples(sizeBytes);
  let pending = new PendingSample('');
  for await (const member of tarMembers(window)) {
    const { key, kind } = memberOf(member.name);
    if (key !== pending.key) {
      pending.finish(path, samples);
      pending = new PendingSample(key);
    }
    if (kind === 'other') samples.ignored++;
    else if (kind === 'image') await pending.image(member, window);
    else await pending.label(kind, member, window);
  }
  pending.finish(path, samples);
  samples.sha256 = await window.finish();
  samples.seal();
  return samples;
}

/** Files of one key. */
class PendingSample {
  #image: { readonly member: TarMember; readonly facts: ImageFacts } | undefined;
  #cls: TarLabel | undefined;
  #json: TarLabel | undefined;
  #problem: string | undefined;

  constructor(readonly key: string) {}

  async image(member: TarMember, window: ShardWindow): Promise<void> {
    if (this.#image) this.#problem ??= 'it has two images';
    else if (member.sizeBytes > MAX_IMAGE_BYTES)
      this.#problem ??= `its image has ${member.sizeBytes} bytes, at most ${MAX_IMAGE_BYTES} are read`;
    else {
      const bytes = await window.read(member.offset, member.sizeBytes);
      this.#try(() => {
        this.#image = { member, facts: imageFacts(bytes) };
      });
    }
  }

  async label(kind: 'cls' | 'json', member: TarMember, window: ShardWindow): Promise<void> {
    if (member.sizeBytes > MAX_LABEL_BYTES) {
      this.#problem ??= `its .${kind} has ${member.sizeBytes} bytes`;
      return;
    }
    const bytes = await window.read(member.offset, member.sizeBytes);
    this.#try(() => {
      if (kind === 'cls') this.#cls = labelIn(kind, bytes);
      else this.#json = labelIn(kind, bytes);
    });
  }

  finish(shard: string, samples: ShardSamples): void {
    const label = this.#cls ?? this.#json ?? labelOfFolder(this.key);
    if (!this.#image && this.#problem === undefined) return;
    const problem = this.#problem ?? (label === undefined ? 'it has no label: no .cls, no .json with label or cls, no folder' : undefined);
    if (this.#image && label !== undefined && problem === undefined)
      samples.add(this.#image.member.offset, this.#image.member.sizeBytes, this.#image.facts, label);
    else samples.skipped.push({ path: `${shard}: ${this.key}`, reason: problem ?? '' });
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#problem ??= error instanceof Error ? error.message : String(error);
    }
  }
}
