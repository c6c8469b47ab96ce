/** What a part of the load test has seen: how long its calls took, and what should not have happened. */
import { quantile, rounded } from '../bench/statistics.js';

/** Milliseconds. */
export interface Times {
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** What a part returns; both may cross a process boundary. */
export interface Answers {
  readonly figures: Readonly<Record<string, unknown>>;
  /** Sentences: a call without an answer, an answer that was lost or given twice, an error that no load explains. */
  readonly problems: readonly string[];
}

/** Number of problems that are named; the others are counted. */
const named = 20;

export class AnswerLog {
  readonly #times = new Map<string, number[]>();
  readonly #problems: string[] = [];
  #unnamed = 0;

  /** Measures a call. An error is a problem, and the result is undefined then. */
  async call<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    const begun = performance.now();
    try {
      const result = await work();
      this.took(what, performance.now() - begun);
      return result;
    } catch (error) {
      this.problem(`${what}: ${(error as Error).name}: ${(error as Error).message}`);
      return undefined;
    }
  }

  took(what: string, ms: number): void {
    const times = this.#times.get(what) ?? [];
    times.push(ms);
    this.#times.set(what, times);
  }

  problem(sentence: string): void {
    if (this.#problems.length < named) this.#problems.push(sentence);
    else this.#unnamed++;
  }

  check(holds: boolean, sentence: () => string): void {
    if (!holds) this.problem(sentence());
  }

  answers(figures: Readonly<Record<string, unknown>> = {}): Answers {
    const times = Object.fromEntries([...this.#times].map(([what, all]) => [what, timesOf(all)]));
    const more = this.#unnamed === 0 ? [] : [`${this.#unnamed} more problems`];
    return { figures: { ...figures, ...times }, problems: [...this.#problems, ...more] };
  }
}

function timesOf(all: readonly number[]): Times {
  const [p50, p99, max] = [0.5, 0.99, 1].map((q) => rounded(quantile(all, q)));
  return { calls: all.length, p50: p50!, p99: p99!, max: max! };
}
