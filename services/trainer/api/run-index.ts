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
import { runPrefix } from '../run/run-log.js';
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
  /** The run as a proto message, encoded because that takes the least memory. */
  readonly bytes: Uint8Array;
}

export interface RunQuery {
  readonly filter: RunFilter | undefined;
  readonly order: RunOrder;
  readonly page: Page;
  readonly binding: string;
}

export interface RunIndexOptions {
  /** Ids of the runs of a project in ascending order, after one of them. It may contain runs that do not exist any more. */
  readonly ids: (project: string, after: string | undefined, signal: AbortSignal) => AsyncIterable<string>;
  /** Reads a run; undefined if it does not exist. `kept` is what was read before, and may be returned if it is still right. */
  readonly read: (project: string, id: string, kept: ListedRun | undefined, signal: AbortSignal) => Promise<ListedRun | undefined>;
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
        const [project, id] = key.split('/') as [string, string];
        return options.read(project, id, kept, signal);
      },
    });
  }

  /** @throws ResourceExhausted if the project has more runs than a filter or an order can look at */
  async list(project: string, { filter, order, page, binding }: RunQuery, signal: AbortSignal): Promise<ListedPage<Run>> {
    const impatient = KeptItems.impatience();
    const keys = this.#keys(project, filter, order, page.after, signal, impatient);
    const found = await listPage<Place, ListedRun>({
      keys,
      nameOf: ({ id }) => runPrefix(project, id),
      placeOf: ({ place }) => place,
      read: async ({ id }) => {
        const run = await this.#items.get(keyOf(project, id), signal, impatient);
        return run && (filter === undefined || filter(run.facts)) ? run : undefined;
      },
      page,
      binding,
    });
    return { ...found, items: found.items.map(({ bytes }) => Run.decode(bytes)) };
  }

  /** The run as a list would show it; undefined if it does not exist. @throws its damage; errors of the store */
  async get(project: string, id: string, signal: AbortSignal): Promise<ListedRun | undefined> {
    return await this.#items.get(keyOf(project, id), signal);
  }

  /** Keeps the newest state of a run that another call has read or written. */
  saw(project: string, id: string, view: RunView): void {
    this.#items.saw(keyOf(project, id), listedRun(id, view));
  }

  /** Must be called when a run was created or deleted, or when it is known to have changed. */
  changed(project: string, id: string): void {
    this.#items.expire(keyOf(project, id));
    this.#surveys.get(project)?.add(id);
  }

  close(): void {
    this.#items.close();
  }

  async *#keys(
    project: string,
    filter: RunFilter | undefined,
    order: RunOrder,
    after: string | undefined,
    signal: AbortSignal,
    impatient: Promise<unknown>,
  ): AsyncGenerator<Place> {
    const plain = filter === undefined && order.by === 'name';
    if (plain && !order.descending) {
      for await (const id of this.#options.ids(project, after, signal)) yield { id, place: id };
      return;
    }
    const survey = this.#surveys.getOrMake(project, () => new Survey((of) => this.#options.ids(project, undefined, of)));
    const ids = await survey.ids.get(signal, impatient);
    if (!plain) await this.#look(project, survey, ids, signal, impatient);
    const places: Place[] = [];
    let looked = 0;
    for (const id of ids) {
      if (++looked % runsPerTurn === 0) await turn();
      const kept = this.#items.kept(keyOf(project, id));
      const run = kept && 'item' in kept ? kept.item : undefined;
      const isDamaged = kept !== undefined && 'error' in kept;
      // A run that is damaged matches every filter, so that it is named.
      if (!plain && !isDamaged && (run === undefined || (filter !== undefined && !filter(run.facts)))) continue;
      const place = orderKey(order, run?.facts ?? { id, createMs: 0 });
      if (after === undefined || compareKeys(order, place, after) > 0) places.push({ id, place });
    }
    yield* places.sort((a, b) => compareKeys(order, a.place, b.place));
  }

  /** Makes sure that something is known about every run, which is not stale. */
  async #look(project: string, survey: Survey, ids: ReadonlySet<string>, signal: AbortSignal, impatient: Promise<unknown>): Promise<void> {
    if (ids.size > this.#items.limit)
      throw new ResourceExhausted(`a filter or an order of the runs of ${formatName('project', { project })}`, `${this.#items.limit} runs`);
    survey.look ??= new Refreshed(async () => {
      const now = await survey.ids.get(AbortSignal.timeout(surveyMs));
      await Promise.all([...now].map((id) => this.#items.renew(keyOf(project, id))));
    }, listFreshness);
    await survey.look.get(signal, impatient);
    // Names that were added since the last look.
    const unknown = [...ids].filter((id) => this.#items.kept(keyOf(project, id)) === undefined);
    await orAborted(Promise.all(unknown.map((id) => this.#items.renew(keyOf(project, id)))), signal);
  }
}

interface Place {
  readonly id: string;
  /** See orderKey. */
  readonly place: string;
}

/** How long reading all names of a project may take, in ms. */
const surveyMs = 30_000;

/** The names of a project, and when all of its runs were looked at. */
class Survey {
  readonly ids: Refreshed<ReadonlySet<string>>;
  look: Refreshed<void> | undefined;
  #added: Set<string> | undefined;

  constructor(read: (signal: AbortSignal) => AsyncIterable<string>) {
    this.ids = new Refreshed(async () => {
      const added = new Set<string>();
      this.#added = added;
      const ids = new Set<string>();
      for await (const id of read(AbortSignal.timeout(surveyMs))) ids.add(id);
      // The listing may have begun before these were written.
      for (const id of added) ids.add(id);
      return ids;
    }, listFreshness);
  }

  add(id: string): void {
    this.#added?.add(id);
    const { kept } = this.ids;
    if (kept !== undefined && !kept.has(id)) (kept as Set<string>).add(id);
  }
}

export function listedRun(id: string, view: RunView): ListedRun {
  const { run } = view;
  return {
    uid: run.uid,
    number: Number(run.logSequence),
    isFinal: hasEnded(run.state),
    facts: { id, state: run.state, model: run.spec?.model ?? '', labels: run.labels, createMs: run.createTime?.getTime() ?? 0 },
    bytes: Run.encode(run).finish(),
  };
}

const keyOf = (project: string, id: string): string => `${project}/${id}`;
