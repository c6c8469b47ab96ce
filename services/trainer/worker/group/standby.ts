/**
 * What a member keeps besides the program, so that it can lead the run when its leader is lost: the progress up to the last step that is in the run's log,
 * and the records of the steps after it.
 */
import { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import type { ExchangeOrder } from '#protocol/dropstream/v1/group.js';
import { addStep, emptySums } from '../epoch-means.js';
import type { TrainedStep } from '../run-loop.js';
import type { Progress } from '../training-state.js';

export class Standby {
  #progress: Progress | undefined;
  #steps: TrainedStep[] = [];

  constructor(
    private readonly stepsPerEpoch: number,
    /** Samples of a step. */
    private readonly images: number,
  ) {}

  /** What the log has, or will have; undefined before the member has the state of the run. */
  get progress(): Progress | undefined {
    return this.#progress;
  }

  /** The steps after that, in order. */
  get steps(): readonly TrainedStep[] {
    return this.#steps;
  }

  /** The member has the state of the run, with this progress as encodeProgress made it. */
  begin(progress: Uint8Array): void {
    this.#progress = JSON.parse(Buffer.from(progress).toString()) as Progress;
    this.#steps = [];
  }

  /** A step is made. */
  made({ metrics, replaced, recorded }: ExchangeOrder, gradNorm: number): void {
    if (metrics === undefined) return;
    const samples = replaced.map((bytes) => ReplacedSample.decode(bytes));
    this.#steps.push({ metrics: { ...metrics, gradNorm }, images: this.images, gpu: undefined, replaced: samples, span: undefined });
    while (this.#progress !== undefined && this.#progress.step < Number(recorded) && this.#steps.length > 0)
      this.#progress = progressAfter(this.#progress, this.#steps.shift() as TrainedStep, this.stepsPerEpoch);
  }
}

export const encodeProgress = (progress: Progress): Buffer => Buffer.from(JSON.stringify(progress));

/** The progress after one more step. */
function progressAfter({ step, sums, undecodable }: Progress, { metrics, replaced }: TrainedStep, stepsPerEpoch: number): Progress {
  const added = addStep(sums, metrics);
  return {
    step: step + 1,
    sums: (step + 1) % stepsPerEpoch === 0 ? emptySums(added.epoch + 1) : added,
    undecodable: [...new Set([...undecodable, ...replaced.map(({ path }) => path)])],
  };
}
