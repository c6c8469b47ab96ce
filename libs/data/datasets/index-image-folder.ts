/** Reads every image of a class folder tree once, many at a time, and writes down what it is. */
import { invalid } from '#errors/errors.js';
import { ManifestBuilder } from '../manifest/manifest-builder.js';
import { ClassMemory } from './class-memory.js';
import type { FileTree } from './file-tree.js';
import { imageFacts, MAX_IMAGE_BYTES } from './image-facts.js';
import { type FolderListing, listImageFolder } from './image-folder.js';
import { type IndexMemory, isSettled } from './index-memory.js';

export interface IndexedImages {
  readonly builder: ManifestBuilder;
  readonly classes: readonly string[];
  readonly skipped: { path: string; reason: string }[];
  readonly ignored: number;
  /** Files that were known from earlier and not read. */
  readonly unchanged: number;
  /** What is odd and harmless, in whole sentences. */
  readonly warnings: readonly string[];
}

export interface ImageIndexOptions {
  readonly memory?: IndexMemory | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Files read at a time. */
const PARALLEL = 16;

/** @throws InvalidArgument (no classes, no readable image), the signal's reason */
export async function indexImageFolder(
  tree: FileTree,
  { memory, signal, onProgress }: ImageIndexOptions,
  list: (tree: FileTree, signal?: AbortSignal) => Promise<FolderListing> = listImageFolder,
): Promise<IndexedImages> {
  const { classes, paths, labels, stamps, ignored, skipped: unlisted, warnings } = await list(tree, signal);
  const total = paths.length;
  // Columns, since there may be millions; a width of 0: left out.
  const [widths, heights, sizes] = [new Uint32Array(total), new Uint32Array(total), new Uint32Array(total)];
  const hashes = new Uint8Array(32 * total);
  const skipped: IndexedImages['skipped'] = [...unlisted];
  const parts = new ClassParts(classes, labels.values, memory);
  let [next, done, unchanged] = [0, 0, 0];
  onProgress?.(0, total);
  const work = async (): Promise<void> => {
    for (let index = next++; index < total; index = next++) {
      signal?.throwIfAborted();
      const path = paths.at(index);
      const label = labels.at(index);
      const part = await parts.enter(label);
      try {
        const stamp = stamps?.at(index) ?? (await tree.stamp(path, signal));
        let facts = part?.find(path, stamp);
        if (facts) unchanged++;
        else {
          if (stamp.sizeBytes > MAX_IMAGE_BYTES) throw new Error(`${stamp.sizeBytes} bytes, at most ${MAX_IMAGE_BYTES} are read`);
          const readAtMs = Date.now();
          // One byte more, so that a file that has grown is seen and not cut.
          const bytes = await tree.read(path, 0, stamp.sizeBytes + 1, signal);
          if (bytes.byteLength !== stamp.sizeBytes) throw new Error('it changed while it was read');
          facts = imageFacts(bytes);
          if (isSettled(stamp, readAtMs)) part?.add(path, stamp, facts);
        }
        [widths[index], heights[index], sizes[index]] = [facts.width, facts.height, stamp.sizeBytes];
        hashes.set(facts.sha256, 32 * index);
      } catch (error) {
        signal?.throwIfAborted();
        skipped.push({ path, reason: error instanceof Error ? error.message : String(error) });
      }
      await parts.leave(label);
      onProgress?.(++done, total);
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: PARALLEL }, work));
  const failed = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failed) {
    await parts.saveUnfinished();
    throw failed.reason;
  }
  const builder = new ManifestBuilder(true);
  for (let i = 0; i < total; i++) {
    const [width, height] = [widths[i] as number, heights[i] as number];
    if (width === 0) continue;
    const sha256 = hashes.subarray(32 * i, 32 * i + 32);
    builder.add({ path: paths.at(i), record: 0, label: labels.at(i), width, height, byteLength: sizes[i] as number, sha256 });
  }
  if (builder.samples === 0)
    throw invalid('data_path', tree.place, `a folder with readable images; the first fails: ${skipped[0]?.reason}`);
  skipped.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { builder, classes, skipped, ignored, unchanged, warnings };
}

/** The memories of the classes that are being read: opened with their first file, saved with their last. */
class ClassParts {
  readonly #left: number[];
  readonly #open = new Map<number, Promise<ClassMemory>>();

  constructor(
    private readonly classes: readonly string[],
    labels: Uint32Array,
    private readonly memory: IndexMemory | undefined,
  ) {
    this.#left = new Array<number>(classes.length).fill(0);
    for (const label of labels) this.#left[label]!++;
  }

  async enter(label: number): Promise<ClassMemory | undefined> {
    if (!this.memory) return undefined;
    let part = this.#open.get(label);
    if (!part) {
      part = ClassMemory.open(this.memory, this.classes[label] as string);
      this.#open.set(label, part);
    }
    return await part;
  }

  async leave(label: number): Promise<void> {
    const left = --this.#left[label]!;
    const part = this.#open.get(label);
    if (left > 0 || !part) return;
    this.#open.delete(label);
    await (await part).save({ all: false });
  }

  /** What is known of classes that were not finished, so that a later run goes on from here. */
  async saveUnfinished(): Promise<void> {
    await Promise.all([...this.#open.values()].map(async (part) => await (await part).save({ all: true })));
  }
}
