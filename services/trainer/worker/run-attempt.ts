/**
 * One attempt at a run by the worker that claimed it: load the newest whole checkpoint, train on, save, have checkpoints evaluated, end.
 * Everything is decided between two optimizer steps; what ends an attempt in the middle of one loses that step and nothing else.
 */
import { BatchClient } from '#data/client/batch-client.js';
import { compile, type Precision, type Program } from '#engine/index.js';
import { DomainError } from '#errors/errors.js';
import { loadCheckpoint, loadLatestValid } from '#storage/checkpoint.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import type { ClaimedLog } from '#work/claimed-log.js';
import { fingerprintLine } from '#work/training-metadata.js';
import type { SchedulerClient } from '../api/create-run.js';
import type { TrainerMetrics } from '../metrics.js';
import { trainingPlan } from '../run/batch-plans.js';
import { modelOf } from '../run/model-catalog.js';
import { type EventBody, type EventBodyAt, manifestKeyOf } from '../run/run-log.js';
import { dropSegments, runRates } from '../run/run-rates.js';
import { asResolved, dropOptions, type ResolvedSpec } from '../run/run-spec.js';
import { isBest, type RunView } from '../run/run-state.js';
import { executorOf } from './engine-choice.js';
import { addStep, type EpochSums, emptySums, epochRecord } from './epoch-means.js';
import { CheckpointEvaluations, type EvaluatorClient } from './evaluations.js';
import { finetuneFrom } from './finetune.js';
import { MicroBatches } from './micro-batches.js';
import { RunCheckpoints } from './run-checkpoints.js';
import { type TrainedStep, trainSteps } from './run-loop.js';
import { ScheduleFollower } from './schedule-follower.js';
import { StepsRecorder } from './steps-recorder.js';
import { type Progress, restore } from './training-state.js';
import { Undecodable } from './undecodable.js';

export interface AttemptOptions {
  readonly store: ObjectStore;
  readonly project: string;
  readonly run: string;
  readonly claimed: ClaimedLog<EventBodyAt, RunView>;
  readonly data: {
    readonly addresses: readonly string[];
    readonly inFlight: number;
    readonly inFlightBytes: number;
    readonly totalMs: number;
  };
  readonly evaluator: EvaluatorClient | undefined;
  readonly scheduler: SchedulerClient | undefined;
  readonly evaluationWaitMs: number;
  readonly metrics: TrainerMetrics;
  readonly logger: Logger;
  /** Aborts when this worker should give the run back at the next step. */
  readonly stopping: AbortSignal;
}

/** trained: to the end, evaluations included as far as they came. */
export type AttemptOutcome =
  | { readonly kind: 'trained'; readonly note: string }
  | { readonly kind: 'paused' }
  | { readonly kind: 'stopped' };

/** The numerics are not those of the checkpoint, and the run wants exactly those (`exact`). */
export class OtherNumerics extends Error {
  override readonly name = 'OtherNumerics';
  constructor(
    readonly checkpoint: string,
    readonly wanted: string,
    readonly found: string,
  ) {
    super(`${checkpoint} was made with ${wanted}; this worker has ${found}, and the run asks for exact resumption`);
  }
}

/** Every checkpoint that the log names is damaged or gone. */
export class NoWholeCheckpoint extends Error {
  override readonly name = 'NoWholeCheckpoint';
  constructor(readonly checkpoints: readonly string[]) {
    super(`none of ${checkpoints.length} checkpoints is whole, the newest is ${checkpoints[0]}`);
  }
}

/** Why the loop stops between two steps. */
class Interrupted extends Error {
  constructor(readonly kind: 'paused' | 'stopped') {
    super(kind);
  }
}

const requestPollMs = 100;
/** Finished micro-batches beyond those of one step, at most so many bytes. */
const aheadBytes = 512 << 20;

export async function attemptRun(options: AttemptOptions): Promise<AttemptOutcome> {
  const attempt = new Attempt(options);
  try {
    return await attempt.run();
  } finally {
    await attempt.close();
  }
}

class Attempt {
  readonly #options: AttemptOptions;
  readonly #spec: ResolvedSpec;
  readonly #stepsPerEpoch: number;
  readonly #totalSteps: number;
  readonly #interrupt = new AbortController();
  readonly #requests: NodeJS.Timeout;
  readonly #recorder: StepsRecorder;
  readonly #checkpoints: RunCheckpoints;
  readonly #evaluations: CheckpointEvaluations | undefined;
  #program: Program | undefined;

  constructor(options: AttemptOptions) {
    const { claimed, project, run, evaluator, logger, metrics, stopping } = options;
    this.#options = options;
    const { view } = claimed;
    this.#spec = asResolved(view.run.spec!);
    this.#stepsPerEpoch = Number(view.run.stepsPerEpoch);
    this.#totalSteps = Number(view.run.totalSteps);
    const look = (): void => {
      if (stopping.aborted) this.#interrupt.abort(new Interrupted('stopped'));
      else if (claimed.view.run.pauseRequested) this.#interrupt.abort(new Interrupted('paused'));
    };
    look();
    this.#requests = setInterval(look, requestPollMs);
    this.#recorder = new StepsRecorder({ append: (steps) => this.#append({ $case: 'steps', value: { steps } }) });
    this.#evaluations =
      evaluator === undefined || this.#spec.disableEval || this.#spec.evalManifest === ''
        ? undefined
        : new CheckpointEvaluations({
            client: evaluator,
            parent: `projects/${project}`,
            spec: this.#spec,
            logger,
            signal: claimed.signal,
            append: async (record) => {
              await claimed.append((now) => {
                const top1 = record.result?.weights?.top1;
                const best = top1 !== undefined && isBest(now, Number(record.step), top1);
                return { body: { $case: 'evaluation', value: { ...record, best } } };
              });
            },
            onEnded: (seconds, { result }) => {
              metrics.evaluation.observe(seconds);
              if (result?.weights) metrics.top1.set({ project, run }, result.weights.top1 / 100);
            },
          });
    const evaluations = this.#evaluations;
    this.#checkpoints = new RunCheckpoints({
      ...options,
      spec: this.#spec,
      flush: () => this.#recorder.flush(),
      evaluate: evaluations && ((checkpoint) => evaluations.begin(checkpoint)),
    });
  }

  async run(): Promise<AttemptOutcome> {
    const { claimed, logger } = this.#options;
    const program = await this.#compile();
    let progress = await this.#begin(program);
    for (const checkpoint of this.#evaluations ? claimed.view.unevaluated : []) this.#evaluations?.begin(checkpoint);
    logger.info({ step: progress.step, total_steps: this.#totalSteps, attempt: claimed.view.run.attempt }, 'training');
    try {
      if (progress.step < this.#totalSteps) progress = await this.#train(program, progress);
      await this.#checkpoints.drain();
      const unsettled = (await this.#evaluations?.settle(this.#options.evaluationWaitMs, this.#signal())) ?? [];
      const note = unsettled.length === 0 ? '' : `evaluations without an answer: ${unsettled.join(', ')}`;
      return { kind: 'trained', note };
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      return { kind: error.kind };
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#requests);
    this.#recorder.close();
    await this.#checkpoints.close();
    await this.#evaluations?.close();
    this.#program?.dispose();
  }

  async #compile(): Promise<Program> {
    const { inputSize, nbClasses, batchSize, engine, precision, checkpointBlocks } = this.#spec;
    const shapes = { imageSize: inputSize, classes: nbClasses, batch: batchSize };
    const options = { executor: executorOf(engine), precision: precision as Precision, checkpointBlocks };
    this.#program = await compile(modelOf(this.#spec), shapes, options);
    this.#options.metrics.engineBytes.set({ project: this.#options.project, run: this.#options.run }, this.#program.peakBytes);
    return this.#program;
  }

  /** Where the newest whole checkpoint left off, or the beginning. */
  async #begin(program: Program): Promise<Progress> {
    const { store, claimed, logger } = this.#options;
    const { view, signal } = claimed;
    const names = view.checkpoints.map(({ name }) => name);
    const nameOf = new Map(names.map((name) => [manifestKeyOf(name), name]));
    const damaged = (key: string, error: Error): void =>
      logger.error({ error, checkpoint: nameOf.get(key) }, 'a checkpoint was passed over');
    const loaded = await loadLatestValid(store, [...nameOf.keys()], damaged, { signal });
    if (loaded === undefined) {
      // Training silently from the start again would hide the loss.
      if (names.length > 0) throw new NoWholeCheckpoint(names);
      await program.initialize(this.#spec.seed);
      if (this.#spec.finetune !== '') await this.#finetune(program);
      if (view.run.attempt > 1) await this.#resumed(0, '', false);
      return { step: 0, sums: emptySums(0), undecodable: [] };
    }
    const name = nameOf.get(loaded.manifestKey) as string;
    const here = fingerprintLine(program.fingerprint);
    const changed = loaded.manifest.fingerprint !== here;
    if (changed && this.#spec.exact) throw new OtherNumerics(name, loaded.manifest.fingerprint, here);
    if (changed) logger.warn({ checkpoint: name, wanted: loaded.manifest.fingerprint, found: here }, 'numerics differ from the checkpoint');
    const progress = await restore(program, name, loaded);
    await this.#resumed(progress.step, name, changed);
    return progress;
  }

  async #finetune(program: Program): Promise<void> {
    const { store, claimed, logger } = this.#options;
    const { finetune } = this.#spec;
    const loaded = await loadCheckpoint(store, manifestKeyOf(finetune), { groups: ['weights'], signal: claimed.signal });
    for (const notice of await finetuneFrom(program, finetune, loaded)) logger.info({ checkpoint: finetune, notice }, 'finetuning');
  }

  async #resumed(fromStep: number, checkpoint: string, fingerprintChanged: boolean): Promise<void> {
    const { attempt } = this.#options.claimed.view.run;
    await this.#append({ $case: 'resumed', value: { fromStep: BigInt(fromStep), attempt, checkpoint, fingerprintChanged } });
  }

  /** Trains to the end; saves on the way. @throws Interrupted, or what the data service refuses with, after saving what there is */
  async #train(program: Program, from: Progress): Promise<Progress> {
    const { claimed, data, project, logger } = this.#options;
    const spec = this.#spec;
    const undecodable = new Undecodable(spec.maxUndecodable, claimed.view.trainSamples, from.undecodable);
    const reading = new AbortController();
    const client = new BatchClient({
      ...data,
      onFailure: ({ address, epoch, index, error }) =>
        logger.warn({ address, epoch, index, error: String(error) }, 'a batch is asked for again'),
    });
    const batches = new MicroBatches({
      batches: client.batches({
        plan: trainingPlan(spec),
        parent: `projects/${project}`,
        from: { epoch: Math.floor(from.step / this.#stepsPerEpoch), index: (from.step % this.#stepsPerEpoch) * spec.updateFreq },
        epochs: spec.epochs,
        batchesPerEpoch: this.#stepsPerEpoch * spec.updateFreq,
        signal: AbortSignal.any([reading.signal, claimed.signal]),
      }),
      classes: spec.nbClasses,
      buffers: this.#buffers(),
    });
    const follower = this.#follower();
    let step = from.step;
    let sums = from.sums;
    let [epochImages, epochBegun] = [0, performance.now()];
    const progress = (): Progress => ({ step, sums, undecodable: undecodable.paths });
    const steps = trainSteps({
      program,
      spec,
      stepsPerEpoch: this.#stepsPerEpoch,
      fromStep: step,
      toStep: this.#totalSteps,
      batches,
      rates: runRates(spec, this.#stepsPerEpoch, () => claimed.view.scheduleChanges),
      dropKind: claimed.view.dropKind,
      signal: this.#signal(),
    });
    try {
      await this.#follow(follower, step);
      for await (const trained of steps) {
        sums = addStep(sums, trained.metrics);
        step = Number(trained.metrics.step) + 1;
        epochImages += trained.images;
        this.#observe(trained);
        await this.#recorder.add(trained.metrics);
        await this.#reportUndecodable(undecodable, trained);
        if (step % this.#stepsPerEpoch === 0) {
          sums = await this.#endEpoch(sums, epochImages, (performance.now() - epochBegun) / 1000);
          [epochImages, epochBegun] = [0, performance.now()];
        }
        if (this.#checkpoints.isDue(step)) await this.#checkpoints.save(program, progress());
        await this.#follow(follower, step);
      }
    } catch (error) {
      // Both come between two steps: what there is can be saved whole, and an attempt that waits for data in vain keeps what it did.
      // A checkpoint of this very step needs no second one.
      if (!(error instanceof Interrupted || error instanceof DomainError)) throw error;
      if (step > from.step && !claimed.signal.aborted) {
        await this.#checkpoints.save(program, progress());
        await this.#checkpoints.drain();
      }
      throw error;
    } finally {
      reading.abort();
      await batches.close();
      client.close();
      await follower?.close();
    }
    return progress();
  }

  async #endEpoch(sums: EpochSums, images: number, seconds: number): Promise<EpochSums> {
    await this.#recorder.flush();
    await this.#append({ $case: 'epoch', value: epochRecord(sums, images, seconds) });
    return emptySums(sums.epoch + 1);
  }

  async #reportUndecodable(undecodable: Undecodable, { replaced }: TrainedStep): Promise<void> {
    if (replaced.length === 0) return;
    const paths = undecodable.add(replaced);
    if (paths.length === 0) return;
    await this.#append({ $case: 'dataSkipped', value: { paths, total: BigInt(undecodable.paths.length) } });
    undecodable.check();
  }

  #follower(): ScheduleFollower | undefined {
    const { claimed, scheduler, logger } = this.#options;
    const { schedule, followSchedule } = this.#spec;
    if (!followSchedule || scheduler === undefined) return undefined;
    return new ScheduleFollower(scheduler, schedule, claimed.view.scheduleRevision, logger);
  }

  /** Takes a new revision before the step that uses it: the log says so first. */
  async #follow(follower: ScheduleFollower | undefined, step: number): Promise<void> {
    const revision = follower?.take();
    if (revision === undefined || step >= this.#totalSteps) return;
    const { claimed, logger } = this.#options;
    try {
      if (revision.spec.kind !== claimed.view.dropKind && revision.spec.rate > 0) throw new Error('it drops something else than the run');
      const segments = dropSegments({ ...this.#spec, ...dropOptions(revision.spec) }, this.#stepsPerEpoch);
      const value = { revision: BigInt(revision.revision), effectiveStep: BigInt(step), segments };
      await this.#append({ $case: 'scheduleChanged', value });
      logger.info({ revision: revision.revision, step }, 'the drop schedule changed');
    } catch (error) {
      if (claimed.signal.aborted) throw error;
      logger.warn({ error, revision: revision.revision }, 'a revision of the schedule does not fit the run and is passed over');
    }
  }

  #observe({ metrics: step, images }: TrainedStep): void {
    const { metrics, project, run } = this.#options;
    const labels = { project, run };
    metrics.step.observe(step.stepSeconds);
    metrics.dataWait.observe(step.dataWaitSeconds);
    metrics.images.inc(images);
    metrics.loss.set(labels, step.loss);
    metrics.lr.set(labels, step.lr);
    metrics.dropRate.set(labels, step.dropRate);
    metrics.weightDecay.set(labels, step.weightDecay);
    metrics.gradNorm.set(labels, step.gradNorm);
    metrics.runStep.set(labels, Number(step.step) + 1);
    metrics.lastStep.set(labels, Date.now() / 1000);
  }

  #buffers(): number {
    const { updateFreq, batchSize, inputSize } = this.#spec;
    const bytes = batchSize * 3 * inputSize * inputSize * 4;
    return updateFreq + Math.max(1, Math.min(updateFreq, Math.floor(aheadBytes / bytes)));
  }

  /** Interrupts between steps, or the end of the claim. */
  #signal(): AbortSignal {
    return AbortSignal.any([this.#options.claimed.signal, this.#interrupt.signal]);
  }

  async #append(body: EventBody): Promise<void> {
    await this.#options.claimed.append(() => ({ body }));
  }
}
