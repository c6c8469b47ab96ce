/** Computes loss, top-1 and top-5 over a data set, in which each sample has the same weight. */
import { labelRank } from '#nn/metrics.js';
import type { Scores } from '#protocol/dropstream/v1/evaluator.js';

/** The loss of some samples is not a finite number, so there is no mean loss, and accuracies would say nothing. */
export class NonFiniteScores extends Error {
  override readonly name = 'NonFiniteScores';
  constructor(
    readonly weights: string,
    readonly nonFinite: number,
    readonly samples: number,
  ) {
    super(`the loss of ${nonFinite} of ${samples} samples is not a finite number with the ${weights} of this checkpoint`);
  }
}

export class ScoreSums {
  #loss = 0;
  #nonFinite = 0;
  #top1 = 0;
  #top5 = 0;
  #samples = 0;
  readonly #correct: Uint32Array;
  readonly #seen: Uint32Array;

  /** @param classes width of the logits. @param weights what is scored, for messages */
  constructor(
    readonly classes: number,
    readonly weights = 'weights',
  ) {
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
      if (!Number.isFinite(losses[i])) this.#nonFinite++;
      this.#seen[label]!++;
      if (rank < 1) {
        this.#top1++;
        this.#correct[label]!++;
      }
      if (rank < 5) this.#top5++;
    }
    this.#samples += labels.length;
  }

  /** Accuracies in percent. @throws NonFiniteScores */
  scores(): Scores {
    if (this.#nonFinite > 0) throw new NonFiniteScores(this.weights, this.#nonFinite, this.#samples);
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
