/** How many workers a project may have at the same time, those that help others included. */
import { keyOfEntry, type QueueEntry } from './queue-entry.js';

export interface ProjectLimitsOptions {
  /** Most workers of a project; infinite: no limit. */
  readonly limitOf: (project: string) => number;
  /** Number of workers that do work which has an owner, those that have joined included; default 1. Asked only for projects with a limit. */
  readonly workersOf?: ((entry: QueueEntry, signal: AbortSignal) => Promise<number>) | undefined;
}

export class ProjectLimits {
  /** What was asked for in the present look. */
  readonly #known = new Map<string, Promise<number>>();

  constructor(private readonly options: ProjectLimitsOptions) {}

  /** A look begins: the numbers of workers are asked for again, each once. */
  looks(): void {
    this.#known.clear();
  }

  /**
   * Whether a project may have one more worker. Of several processes that find this at the same time, each may be one more.
   * @param owned all work that has an owner @param free number of the project's workers that would first stop what they do
   */
  async hasRoom(project: string, owned: Iterable<QueueEntry>, free: number, signal: AbortSignal): Promise<boolean> {
    const limit = this.options.limitOf(project);
    if (limit === Number.POSITIVE_INFINITY) return true;
    const of = new Map([...owned].filter((entry) => entry.project === project).map((entry) => [keyOfEntry(entry), entry]));
    let workers = -free;
    for (const entry of of.values()) {
      if (workers >= limit) return false;
      workers += await this.#workersOf(entry, signal);
    }
    return workers < limit;
  }

  #workersOf(entry: QueueEntry, signal: AbortSignal): Promise<number> {
    const { workersOf } = this.options;
    if (workersOf === undefined) return Promise.resolve(1);
    const key = keyOfEntry(entry);
    const asked = this.#known.get(key) ?? workersOf(entry, signal);
    this.#known.set(key, asked);
    return asked;
  }
}
