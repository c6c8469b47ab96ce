/** Lets calls that add something to a project take turns within this process, so that each sees what the others have added. */
import { Limiter } from '#bounds/limiter.js';
import { ResourceExhausted } from '#errors/errors.js';

/** Number of calls of one project that may wait for each other. */
const maxWaiting = 1000;

export class ProjectTurns {
  /** Of projects for which a call is under way. */
  readonly #turns = new Map<string, { readonly limiter: Limiter; users: number }>();

  /** @throws ResourceExhausted if too many wait; the signal's reason; what `work` throws */
  async run<T>(project: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const turn = this.#turns.get(project) ?? { limiter: new Limiter(1), users: 0 };
    if (turn.limiter.waiting >= maxWaiting)
      throw new ResourceExhausted(`the queue of calls that add to project ${project}`, `${maxWaiting} calls`, { retryAfterMs: 1000 });
    this.#turns.set(project, turn);
    turn.users++;
    try {
      return await turn.limiter.run(async () => {
        signal.throwIfAborted();
        return await work();
      });
    } finally {
      turn.users--;
      if (turn.users === 0) this.#turns.delete(project);
    }
  }
}
