/**
 * Answers ListRuns. A page in the order of names reads the names from the store, and only the runs of the page. A filter or another order needs to
 * know every run of the project: a survey reads all names, and each run once; later only the runs that have not ended are looked at again. Surveys
 * are kept and repeated as `listFreshness` says, so a run that has changed in another process may be missing for a few seconds. What a page shows is
 * read as if there were no filter, and compared with it again.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { orAborted } from '#bounds/or-aborted.js';
import { RecentMap } from '#bounds/recent-map.js';
import { Refreshed } from '#bounds/refreshed.js';
import { ResourceExhausted } from '#errors/errors.js';
import { formatName } from '#errors/resource-names.js';
import { Run } from '#protocol/dropstream/v1/trainer.js';
import { type KeptItem, KeptItems, listFreshness } from '#rpc/kept-items.js';
import { type ListedPage, listPage } from '#rpc/list-page.js';
import type { Page } from '#rpc/pagination.js';
import type { EntriesOptions, NamedEntry } from '#work/name-index.js';
import type { QueueEntry } from '#work/queue-index.js';
import { runName } from '../run/run-log.js';
import { workersOf } from '../run/run-spec.js';
import { hasEnded, type RunView } from '../run/run-state.js';
import { compareKeys, orderKey, type RunFacts, type RunFilter, type RunOrder } from './run-filter.js';

/** Largest number of runs that are kept, of all projects together; about 1 KB each. */
const keptRuns = 32_768;
/** Number of runs that are compared with a filter before other calls have their turn. */
const runsPerTurn = 4096;
/** Number of projects whose names are kept. */
const keptProjects = 64;

export interface ListedRun extends KeptItem {
  readonly facts: RunFacts;
  readonly dataWaitShare: number;
  /** Most workers that may train it together. */
  readonly workers: number;
  /** The run as a proto message, encoded because that takes the least memory. */
  readonly bytes: Uint8Array;
}

export type QueuedRun = Pick<QueueEntry, 'project'> & Pick<Run, 'state' | 'dataWaitShare'> & Pick<ListedRun, 'workers'>;

export interface RunQuery {
  readonly filter: RunFilter | undefined;
  readonly order: RunOrder;
  readonly page: Page;
  readonly binding: string;
}

export interface RunIndexOptions {
  /** The runs of a project in ascending order of their ids, after one of these. It may contain runs that do not exist any more. */
  readonly entries: (project: string, options: EntriesOptions, signal: AbortSignal) => AsyncIterable<NamedEntry>;
  /** Reads a run; undefined if it does not exist. `kept` is what was read before, and may be returned if it is still right. */
  readonly read: (project: string, entry: NamedEntry, kept: ListedRun | undefined, signal: AbortSignal) => Promise<ListedRun | undefined>;
}

export class RunIndex {
  readonly #options: RunIndexOptions;
  readonly #items: KeptItems<ListedRun>;
  readonly #surveys = new RecentMap<string, Survey>(keptProjects);

  constructor(options: RunIndexOptions) {
    this.#options = options;
    this.#items = new KeptItems({
      limit: keptRuns,
      read: (key, kept, signal) => {
        const [project, id, uid] = key.split('/') as [string, string, string];
        return options.read(project, { id, uid: uid === '' ? undefined : uid }, kept, signal);
      },
    });
  }

  /** @throws ResourceExhausted if the project has more runs than a filter or an order can look at */
  async list(project: string, { filter, order, page, binding }: RunQuery, signal: AbortSignal): Promise<ListedPage<Run>> {
    const impatient = KeptItems.impatience();
    const keys = this.#keys(project, { filter, order, page }, signal, impatient);
    const found = await listPage<Place, ListedRun>({
      keys,
      nameOf: ({ id }) => runName(project, id),
      placeOf: ({ place }) => place,
      read: async (entry) => {
        const run = await this.#items.get(keyOf(project, entry), signal, impatient);
        return run && (filter === undefined || filter(run.facts)) ? run : undefined;
      },
      bytesOf: ({ bytes }) => bytes.length,
      page,
      binding,
    });
    return { ...found, items: found.items.map(({ bytes }) => Run.decode(bytes)) };
  }

  /** The runs of the entries, of any projects, as they were at most `ageMs` ago. Runs that are damaged or deleted are left out. */
  async present(entries: readonly QueueEntry[], signal: AbortSignal, ageMs?: number): Promise<QueuedRun[]> {
    const keys = entries.map((entry) => keyOf(entry.project, entry));
    await orAborted(this.#items.renewAll(keys, ageMs), signal);
    return entries.flatMap(({ project }, k) => {
      const kept = this.#items.kept(keys[k]!);
      const run = kept && 'item' in kept ? kept.item : undefined;
      if (run === undefined) return [];
      return [{ project, state: run.facts.state, dataWaitShare: run.dataWaitShare, workers: run.workers }];
    });
  }

  /** Keeps the newest state of a run that another call has read or written. */
  saw(project: string, id: string, view: RunView): void {
    const entry = { id, uid: view.run.uid };
    this.#items.saw(keyOf(project, entry), listedRun(id, view));
    this.#surveys.get(project)?.add(entry);
  }

  /** Must be called when a run was deleted, or when it is known to have changed. */
  changed(project: string, entry: NamedEntry): void {
    this.#items.expire(keyOf(project, entry));
  }

  close(): void {
    this.#items.close();
  }

  async *#keys(
    project: string,
    { filter, order, page: { after, size } }: Omit<RunQuery, 'binding'>,
    signal: AbortSignal,
    impatient: Promise<unknown>,
  ): AsyncGenerator<Place> {
    const plain = filter === undefined && order.by === 'name';
    if (plain && !order.descending) {
      for await (const entry of this.#options.entries(project, { after, first: size + 1, impatient }, signal))
        yield { ...entry, place: entry.id };
      return;
    }
    const survey = this.#surveys.getOrMake(project, () => new Survey(project, (of) => this.#options.entries(project, {}, of)));
    const entries = await survey.entries.get(signal, impatient);
    if (!plain) await this.#look(project, survey, entries, signal, impatient);
    const places: Place[] = [];
    let looked = 0;
    for (const [key, entry] of entries) {
      if (++looked % runsPerTurn === 0) await turn();
      const kept = this.#items.kept(key);
      const run = kept && 'item' in kept ? kept.item : undefined;
      const isDamaged = kept !== undefined && 'error' in kept;
      // A run that is damaged matches every filter, so that it is named.
      if (!plain && !isDamaged && (run === undefined || (filter !== undefined && !filter(run.facts)))) continue;
      const place = orderKey(order, run?.facts ?? { id: entry.id, createMs: 0, priority: 0 });
      if (after === undefined || compareKeys(order, place, after) > 0) places.push({ ...entry, place });
    }
    yield* places.sort((a, b) => compareKeys(order, a.place, b.place));
  }

  /** Makes sure that something is known about every run, and that it is not stale. */
  async #look(project: string, survey: Survey, entries: Entries, signal: AbortSignal, impatient: Promise<unknown>): Promise<void> {
    if (entries.size > this.#items.limit)
      throw new ResourceExhausted(`a filter or an order of the runs of ${formatName('project', { project })}`, `${this.#items.limit} runs`);
    survey.look ??= new Refreshed<unknown>(async () => {
      const begunMs = performance.now();
      await this.#items.renewAll((await survey.entries.get(AbortSignal.timeout(surveyMs))).keys());
      // However long a look takes, it takes only a part of the time, and the next list need not wait for another one.
      const tookMs = performance.now() - begunMs;
      const [freshMs, staleMs] = [Math.max(listFreshness.freshMs, 4 * tookMs), Math.max(listFreshness.staleMs, 8 * tookMs)];
      survey.look!.freshness = { freshMs, staleMs, from: 'end' };
    }, listFreshness);
    await survey.look.get(signal, impatient);
    // Runs that were created since the last look.
    const unknown = [...entries.keys()].filter((key) => this.#items.kept(key) === undefined);
    await orAborted(this.#items.renewAll(unknown), signal);
  }
}

interface Place extends NamedEntry {
  /** See orderKey. */
  readonly place: string;
}

/** By keyOf. */
type Entries = ReadonlyMap<string, NamedEntry>;

/** How long reading all names of a project may take, in ms. */
const surveyMs = 30_000;

/** The names of a project, and when all of its runs were looked at. */
class Survey {
  readonly entries: Refreshed<Entries>;
  look: Refreshed<unknown> | undefined;
  #added = new Map<string, NamedEntry>();

  constructor(
    readonly project: string,
    read: (signal: AbortSignal) => AsyncIterable<NamedEntry>,
  ) {
    this.entries = new Refreshed<Entries>(async () => {
      // What is added from now on may be missing in the listing.
      const added = new Map<string, NamedEntry>();
      this.#added = added;
      const entries = new Map<string, NamedEntry>();
      for await (const entry of read(AbortSignal.timeout(surveyMs))) entries.set(keyOf(project, entry), entry);
      for (const [key, entry] of added) entries.set(key, entry);
      return entries;
    }, listFreshness);
  }

  add(entry: NamedEntry): void {
    const key = keyOf(this.project, entry);
    this.#added.set(key, entry);
    const { kept } = this.entries;
    if (kept !== undefined) (kept as Map<string, NamedEntry>).set(key, entry);
  }
}

export function listedRun(id: string, view: RunView): ListedRun {
  const { run } = view;
  return {
    uid: run.uid,
    number: Number(run.logSequence),
    isFinal: hasEnded(run.state),
    readMs: performance.now(),
    facts: {
      ...{ id, state: run.state, model: run.spec?.model ?? '', labels: run.labels },
      ...{ createMs: run.createTime?.getTime() ?? 0, priority: run.spec?.priority ?? 0 },
    },
    dataWaitShare: run.dataWaitShare,
    workers: workersOf(run.spec ?? {}).max,
    bytes: Run.encode(run).finish(),
  };
}

const keyOf = (project: string, { id, uid = '' }: NamedEntry): string => `${project}/${id}/${uid}`;
