/** Counts the streams that this process serves for each project, and refuses those beyond the project's quota. */
import { checkQuota, type ProjectQuotas } from '#auth/quota.js';

export class StreamQuota {
  /** Of projects that have any. */
  readonly #open = new Map<string, number>();

  constructor(private readonly quotasOf: (project: string) => ProjectQuotas) {}

  /** @returns what ends the stream's place, to be called once @throws ResourceExhausted */
  enter(project: string, retryAfterMs: number | undefined): () => void {
    const used = this.#open.get(project) ?? 0;
    checkQuota({ project, quota: 'streams', limit: this.quotasOf(project).streams, used, retryAfterMs });
    this.#open.set(project, used + 1);
    return () => {
      const now = (this.#open.get(project) ?? 0) - 1;
      if (now > 0) this.#open.set(project, now);
      else this.#open.delete(project);
    };
  }
}
