/**
 * The series of a run beside its log, so that a curve of a million steps does not need a million steps to be read: blocks have the metrics of the steps in 256 records,
 * and chapters have the extremes of 64 blocks. Both are functions of records that never change, so it does not matter who makes them, or how often; a
 * worker makes them as it goes, and whoever needs one that is missing makes it then.
 */
import { orAborted } from '#bounds/or-aborted.js';
import { quietly } from '#bounds/quietly.js';
import { RecentMap } from '#bounds/recent-map.js';
import { createExclusive } from '#storage/exclusive-create.js';
import { ObjectNotFound, type ObjectStore, ObjectTooLarge } from '#storage/object-store.js';
import { eventOf, type RunKey, recordLog, seriesPrefix } from '../run-log.js';
import { extremesOf } from './extremes.js';
import { type Chapter, decodeChapter, decodeColumns, encodeChapter, encodeColumns, SeriesUnreadable } from './series-objects.js';
import { ColumnsBuilder, type StepColumns } from './step-columns.js';

/** Changes with the names of the objects: what was made in one shape does not fit another one. */
export interface SeriesShape {
  /** Records of a block. */
  readonly blockRecords: number;
  /** Blocks of a chapter. */
  readonly chapterBlocks: number;
}

const usualShape: SeriesShape = { blockRecords: 256, chapterBlocks: 64 };
const DIGITS = 12;
/** A record has a thousand steps at most. */
const maxBytes = 64 << 20;
/** Of runs with 10 steps in a record, the blocks of a chapter are 12 MB, and a chapter is 0.7 MB; of those with a thousand, a hundred times as much. */
const keptBlockBytes = 48 << 20;
const keptChapterBytes = 48 << 20;
/** How long making one may take, whoever waits for it. */
const makingMs = 300_000;
const sideBySide = 8;

export class SeriesStore {
  readonly #blocks = new RecentMap<string, StepColumns>(keptBlockBytes, bytesOfColumns);
  readonly #chapters = new RecentMap<string, Chapter>(keptChapterBytes, bytesOfChapter);
  readonly #newest = new RecentMap<string, { readonly count: number; readonly columns: StepColumns }>(
    keptBlockBytes,
    ({ columns }) =>
      // One without steps takes some memory, too.
      bytesOfColumns(columns) + 1024,
  );
  readonly #making = new Map<string, Promise<unknown>>();

  constructor(
    private readonly store: ObjectStore,
    readonly shape: SeriesShape = usualShape,
    /** Ends what is being made; default: only its own deadline does. */
    private readonly ending?: AbortSignal,
  ) {}

  /** The steps of records `number * blockRecords + 1` and on, which must all exist. @throws LogDamaged; errors of the store */
  async block(key: RunKey, number: number, signal: AbortSignal): Promise<StepColumns> {
    const { blockRecords } = this.shape;
    const at = keyOf(key, 'blocks', number);
    return await this.#kept(this.#blocks, at, signal, (own) =>
      this.#stored(at, own, decodeColumns, encodeColumns, () => this.steps(key, number * blockRecords, blockRecords, own)),
    );
  }

  /** The extremes of blocks `number * chapterBlocks` and on, of which all records must exist. */
  async chapter(key: RunKey, number: number, signal: AbortSignal): Promise<Chapter> {
    const { chapterBlocks } = this.shape;
    const at = keyOf(key, 'chapters', number);
    const decode = (bytes: Buffer): Chapter => decodeChapter(bytes, chapterBlocks);
    return await this.#kept(this.#chapters, at, signal, (own) =>
      this.#stored(at, own, decode, encodeChapter, async () => {
        const numbers = Array.from({ length: chapterBlocks }, (_, k) => number * chapterBlocks + k);
        const blocks = await inOrder(numbers, (block) => this.block(key, block, own));
        const builder = new ColumnsBuilder();
        for (const block of blocks) builder.append(block);
        return {
          firstSteps: Float64Array.from(blocks, ({ steps }) => steps[0] ?? Number.NaN),
          lastSteps: Float64Array.from(blocks, ({ steps }) => steps.at(-1) ?? Number.NaN),
          extremes: extremesOf(builder.build()),
        };
      }),
    );
  }

  /**
   * The steps of `count` records after a sequence, from the log itself. @throws LogDamaged if it has fewer of them, as that of a run which is being
   * deleted: what is made of the others must not be stored
   */
  async steps(key: RunKey, after: number, count: number, signal: AbortSignal): Promise<StepColumns> {
    const builder = new ColumnsBuilder();
    await this.#addSteps(builder, key, after, after + count, signal);
    return builder.build();
  }

  /** Same as `steps`, for the end of a log: it is asked for again as it grows, so what was read before is kept. */
  async newest(key: RunKey, after: number, count: number, signal: AbortSignal): Promise<StepColumns> {
    const at = keyOf(key, 'newest', after);
    const known = this.#newest.get(at);
    if (known?.count === count) return known.columns;
    const builder = new ColumnsBuilder();
    // Somebody may ask who knows less of the log than the one before.
    const isMore = known !== undefined && known.count < count;
    if (isMore) builder.append(known.columns);
    await this.#addSteps(builder, key, isMore ? after + known.count : after, after + count, signal);
    const columns = builder.build();
    this.#newest.set(at, { count, columns });
    return columns;
  }

  async #addSteps(builder: ColumnsBuilder, key: RunKey, after: number, until: number, signal: AbortSignal): Promise<void> {
    if (until === after) return;
    for await (const record of recordLog(this.store, key).readTo({ after, until, signal })) {
      if (record.kind !== 'steps') continue;
      const { event } = eventOf(record);
      if (event?.$case === 'steps') for (const step of event.value.steps) builder.add(step);
    }
  }

  /** What is asked for several times is made once, and goes on if some of those who wait for it leave. */
  async #kept<T>(known: RecentMap<string, T>, at: string, signal: AbortSignal, make: (own: AbortSignal) => Promise<T>): Promise<T> {
    const found = known.get(at);
    if (found !== undefined) return found;
    let making = this.#making.get(at) as Promise<T> | undefined;
    if (making === undefined) {
      const deadline = AbortSignal.timeout(makingMs);
      const own = this.ending === undefined ? deadline : AbortSignal.any([this.ending, deadline]);
      making = quietly(make(own).finally(() => this.#making.delete(at)));
      this.#making.set(at, making);
    }
    const made = await orAborted(making, signal);
    known.set(at, made);
    return made;
  }

  async #stored<T>(
    at: string,
    signal: AbortSignal,
    decode: (bytes: Buffer) => T,
    encode: (value: T) => Buffer,
    make: () => Promise<T>,
  ): Promise<T> {
    try {
      return decode((await this.store.get(at, { maxBytes, signal })).bytes);
    } catch (error) {
      if (error instanceof SeriesUnreadable || error instanceof ObjectTooLarge) return await make();
      if (!(error instanceof ObjectNotFound)) throw error;
    }
    const made = await make();
    // It spares work later; what was asked for is there without it.
    await createExclusive(this.store, at, encode(made), { signal }).catch(() => undefined);
    return made;
  }
}

const bytesOfColumns = ({ steps, values }: StepColumns): number => steps.byteLength * (1 + values.length);

const bytesOfChapter = ({ firstSteps, extremes: { numbers, metrics } }: Chapter): number =>
  2 * firstSteps.byteLength + numbers.byteLength * (1 + 4 * metrics.length);

const keyOf = (key: RunKey, kind: 'blocks' | 'chapters' | 'newest', number: number): string =>
  `${seriesPrefix(key)}/${kind}/${String(number).padStart(DIGITS, '0')}`;

/** Results in the order of the items, some of which are worked on side by side. */
export async function inOrder<A, B>(items: readonly A[], one: (item: A) => Promise<B>): Promise<B[]> {
  const results: B[] = [];
  const begun: Promise<B>[] = [];
  for (const item of items) {
    begun.push(quietly(one(item)));
    if (begun.length === sideBySide) results.push(await begun.shift()!);
  }
  for (const rest of begun) results.push(await rest);
  return results;
}
