/**
 * Which project's work comes next: stride scheduling by weights. Every claim that is seen, of this process or of another one, moves its project on by
 * 1 / weight, and the project that has come the least far is next. So while several projects have work, their claims are in the ratio of their weights
 * within one claim of each, whatever the lengths of their queues. A project that comes or comes back joins at the least of the others: it catches up
 * nothing, and waits for nothing. The same looks at the same queue give the same choices.
 */

/** What a project may have of the workers. */
export interface ProjectShares {
  /** From 1 to 1000. */
  readonly weightOf: (project: string) => number;
  /** `workers`: the most that may be claimed at the same time; undefined: no limit. */
  readonly of: (project: string) => { readonly workers?: number | undefined };
}

export const equalShares: ProjectShares = { weightOf: () => 1, of: () => ({}) };

export class FairShare {
  /** How far each project that has work has come. */
  readonly #passes = new Map<string, number>();

  constructor(private readonly weightOf: (project: string) => number) {}

  /** Must be called before each choice with all projects that have work, in progress or waiting. */
  present(projects: ReadonlySet<string>): void {
    for (const project of this.#passes.keys()) if (!projects.has(project)) this.#passes.delete(project);
    const least = Math.min(...this.#passes.values());
    const start = Number.isFinite(least) ? least : 0;
    for (const project of projects) if (!this.#passes.has(project)) this.#passes.set(project, start);
  }

  /** Work of a project was claimed. */
  charge(project: string): void {
    const pass = this.#passes.get(project);
    if (pass !== undefined) this.#passes.set(project, pass + 1 / this.weightOf(project));
  }

  /** Projects whose turn it was, and which had nothing to claim, have lost it to `winner`: they catch up nothing later. */
  passOver(projects: Iterable<string>, winner: string): void {
    const pass = this.#passes.get(winner) ?? 0;
    for (const project of projects) if ((this.#passes.get(project) ?? pass) < pass) this.#passes.set(project, pass);
  }

  /** The one whose turn it is; of several, the first. */
  next<T extends { readonly project: string }>(candidates: Iterable<T>): T | undefined {
    let best: { readonly candidate: T; readonly pass: number } | undefined;
    for (const candidate of candidates) {
      const pass = this.#passes.get(candidate.project) ?? 0;
      // A difference as small as the rounding of sums is none.
      if (best === undefined || pass < best.pass - 1e-9) best = { candidate, pass };
    }
    return best?.candidate;
  }
}
