/**
 * Keeps the quotas of projects where runs are created and resumed. Within this process, one call of a project at a time looks and then adds its run, so
 * that two cannot take the last place; each further replica of the api role may add one run more. Bytes of checkpoints are counted at most every
 * `bytesFreshMs`, and runs that were admitted may write until they end.
 */
import { checkQuota, type ProjectQuotas } from '#auth/quota.js';
import { RecentMap } from '#bounds/recent-map.js';
import { Refreshed } from '#bounds/refreshed.js';
import { ProjectTurns } from '#work/project-turns.js';

export interface RunQuotasOptions {
  readonly quotasOf: (project: string) => ProjectQuotas;
  readonly stored: (project: string, signal: AbortSignal) => Promise<number>;
  readonly queued: (project: string, signal: AbortSignal) => Promise<number>;
  readonly checkpointBytes: (project: string, signal: AbortSignal) => Promise<number>;
}

const bytesFreshMs = 30_000;
/** How long counting the bytes of a project may take. */
const bytesMs = 60_000;
/** Number of projects whose bytes are kept. */
const keptProjects = 256;

export class RunQuotas {
  readonly #turns = new ProjectTurns();
  readonly #bytes = new RecentMap<string, Refreshed<number>>(keptProjects);

  constructor(private readonly options: RunQuotasOptions) {}

  /**
   * Adds a stored run that waits for a worker, or with `isStored` one that is stored already and begins to wait. `add` runs while nothing else is added.
   * @throws ResourceExhausted, and what `add` throws
   */
  async add<T>(project: string, { isStored }: { readonly isStored: boolean }, signal: AbortSignal, add: () => Promise<T>): Promise<T> {
    if (!this.limit(project)) return await add();
    return await this.#turns.run(project, signal, async () => {
      await this.check(project, { isStored }, signal);
      return await add();
    });
  }

  /** Whether anything of the project is limited. */
  limit(project: string): boolean {
    const { runs, queued, checkpoint_bytes } = this.options.quotasOf(project);
    return runs !== undefined || queued !== undefined || checkpoint_bytes !== undefined;
  }

  /** @throws ResourceExhausted if nothing could be added now */
  async check(project: string, { isStored }: { readonly isStored: boolean }, signal: AbortSignal): Promise<void> {
    const { runs, queued, checkpoint_bytes } = this.options.quotasOf(project);
    const { options } = this;
    if (runs !== undefined && !isStored) checkQuota({ project, quota: 'runs', limit: runs, used: await options.stored(project, signal) });
    if (queued !== undefined) checkQuota({ project, quota: 'queued', limit: queued, used: await options.queued(project, signal) });
    if (checkpoint_bytes === undefined) return;
    const freshness = { freshMs: bytesFreshMs, staleMs: bytesFreshMs };
    const read = () => options.checkpointBytes(project, AbortSignal.timeout(bytesMs));
    const bytes = this.#bytes.getOrMake(project, () => new Refreshed(read, freshness));
    const used = await bytes.get(signal);
    checkQuota({ project, quota: 'checkpoint_bytes', limit: checkpoint_bytes, used });
  }
}
