/** Writes the progress of an evaluation to its log at most once a second, beside the scoring. */
import type { ClaimedLog } from '#work/claimed-log.js';
import type { EvaluationEvent, EvaluationView } from '../evaluation/evaluation-state.js';

const progressEveryMs = 1000;

export class ProgressWriter {
  #lastMs = performance.now();
  #writing: Promise<unknown> = Promise.resolve();
  #busy = false;

  constructor(
    private readonly claimed: ClaimedLog<EvaluationEvent, EvaluationView>,
    private readonly total: number,
  ) {}

  note(samplesDone: number): void {
    if (this.#busy || performance.now() - this.#lastMs < progressEveryMs) return;
    this.#busy = true;
    this.#lastMs = performance.now();
    const event: EvaluationEvent = { kind: 'progress', samplesDone, samplesTotal: this.total };
    // A claim that is lost here is told by its signal.
    this.#writing = this.claimed
      .append(() => event)
      .catch(() => {})
      .then(() => {
        this.#busy = false;
      });
  }

  async settled(): Promise<void> {
    await this.#writing;
  }
}
