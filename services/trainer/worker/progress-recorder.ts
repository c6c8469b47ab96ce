/**
 * Takes every trained step into what the run remembers: the log (steps, epochs, samples that could not be decoded), the metrics, and the
 * progress that goes into the next checkpoint.
 */
import type { AttemptContext } from './attempt-context.js';
import { addStep, type EpochSums, emptySums, epochRecord } from './epoch-means.js';
import type { TrainedStep } from './run-loop.js';
import type { StepsRecorder } from './steps-recorder.js';
import type { Progress } from './training-state.js';
import { Undecodable } from './undecodable.js';

export class ProgressRecorder {
  readonly #context: AttemptContext;
  readonly #steps: StepsRecorder;
  readonly #undecodable: Undecodable;
  #step: number;
  #sums: EpochSums;
  #lossScaling: Progress['lossScaling'];
  /** This attempt's part of the epoch. */
  #epoch = { images: 0, begunMs: performance.now() };

  constructor(context: AttemptContext, steps: StepsRecorder, from: Progress) {
    this.#context = context;
    this.#steps = steps;
    this.#undecodable = new Undecodable(context.spec.maxUndecodable, context.claimed.view.trainSamples, from.undecodable);
    this.#step = from.step;
    this.#sums = from.sums;
    this.#lossScaling = from.lossScaling;
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.#step;
  }

  /** For a checkpoint between two steps. */
  get progress(): Progress {
    return { step: this.#step, sums: this.#sums, undecodable: this.#undecodable.paths, lossScaling: this.#lossScaling };
  }

  /** @throws TooManyUndecodable; what appending to the log throws */
  async add(trained: TrainedStep): Promise<void> {
    const { logger, metrics, project, run, stepsPerEpoch } = this.#context;
    this.#sums = addStep(this.#sums, trained.metrics);
    this.#step = Number(trained.metrics.step) + 1;
    this.#lossScaling = trained.lossScaling;
    const { skipped, step, lossScale } = trained.metrics;
    if (skipped) logger.warn({ step: Number(step), loss_scale: lossScale }, 'a step was skipped, because its gradient overflowed in f16');
    this.#epoch.images += trained.images;
    metrics.observeStep({ project, run }, trained.metrics, trained.images, trained.gpu);
    await this.#steps.add(trained.metrics);
    await this.#addUndecodable(trained);
    if (this.#step % stepsPerEpoch === 0) await this.#endEpoch();
  }

  async #addUndecodable({ replaced }: TrainedStep): Promise<void> {
    if (replaced.length === 0) return;
    const paths = this.#undecodable.add(replaced);
    if (paths.length === 0) return;
    await this.#context.append({ $case: 'dataSkipped', value: { paths, total: BigInt(this.#undecodable.paths.length) } });
    this.#undecodable.check();
  }

  async #endEpoch(): Promise<void> {
    const { images, begunMs } = this.#epoch;
    // The log has the steps of an epoch before its means.
    await this.#steps.flush();
    const value = epochRecord(this.#sums, images, (performance.now() - begunMs) / 1000);
    await this.#context.append({ $case: 'epoch', value });
    this.#sums = emptySums(this.#sums.epoch + 1);
    this.#epoch = { images: 0, begunMs: performance.now() };
  }
}
