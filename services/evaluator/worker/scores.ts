/** Computes loss, top-1 and top-5 over a data set, in which each sample has the same weight. */
import { labelRank } from '#nn/metrics.js';
import type { Scores } from '#protocol/dropstream/v1/evaluator.js';

export class ScoreSums {
  #loss = 0;
  #top1 = 0;
  #top5 = 0;
  #samples = 0;
  readonly #correct: Uint32Array;
  readonly #seen: Uint32Array;

  /** @param classes width of the logits */
  constructor(readonly classes: number) {
    this.#correct = new Uint32Array(classes);
    this.#seen = new Uint32Array(classes);
  }

  get samples(): number {
    return this.#samples;
  }

  /** Adds a batch. @param logits [labels.length, classes]. @param losses one per sample, summed in order in float64 */
  add(logits: ArrayLike<number>, losses: ArrayLike<number>, labels: ArrayLike<number>): void {
    for (let i = 0; i < labels.length; i++) {
      const label = labels[i] as number;
      const rank = labelRank(logits, i, this.classes, label);
      this.#loss += losses[i] as number;
      this.#seen[label]!++;
      if (rank < 1) {
        this.#top1++;
        this.#correct[label]!++;
      }
      if (rank < 5) this.#top5++;
    }
    this.#samples += labels.length;
  }

  /** Accuracies in percent. */
  scores(): Scores {
    const share = (count: number): number => (this.#samples === 0 ? 0 : (100 * count) / this.#samples);
    return {
      loss: this.#samples === 0 ? 0 : this.#loss / this.#samples,
      top1: share(this.#top1),
      top5: share(this.#top5),
      classCorrect: [...this.#correct].map(BigInt),
      classSamples: [...this.#seen].map(BigInt),
    };
  }
}
