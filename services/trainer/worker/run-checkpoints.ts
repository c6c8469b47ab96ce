/** Saves checkpoints during an attempt: decides when one is due, writes it in the background, commits it to the log, deletes old ones. */
import type { Program } from '#engine/index.js';
import { allocateMemory } from '#native/memory.js';
import type { CheckpointRecord } from '#protocol/dropstream/v1/trainer.js';
import type { SavedCheckpoint } from '#storage/checkpoint.js';
import { Checkpointer } from '#storage/checkpointer.js';
import type { ObjectStore, StoreFull } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { failWith, type Span, startSpan } from '#telemetry/spans.js';
import { runWithSpan, type SpanContext } from '#telemetry/tracing.js';
import { checkpointsOf } from '#work/checkpoint-keys.js';
import type { ClaimedLog } from '#work/claimed-log.js';
import type { TrainerMetrics } from '../metrics.js';
import { isUnmeasured } from '../run/adaptive-cutoff.js';
import type { EventBodyAt } from '../run/run-log.js';
import type { ResolvedSpec } from '../run/run-spec.js';
import type { KnownCheckpoint, RunView } from '../run/run-state.js';
import { deleteOldCheckpoints } from './retention.js';
import { type Progress, snapshotOf } from './training-state.js';

/** How long the record of a run's status may take, in ms. */
const statusMs = 10_000;

export interface RunCheckpointsOptions {
  readonly store: ObjectStore;
  readonly claimed: ClaimedLog<EventBodyAt, RunView>;
  readonly spec: ResolvedSpec;
  readonly metrics: TrainerMetrics;
  /** Labels of the metrics. */
  readonly project: string;
  readonly run: string;
  readonly logger: Logger;
  /** The span of the attempt. */
  readonly span: SpanContext;
  /** Aborts when this worker should give the run back. */
  readonly stopping: AbortSignal;
  /** Writes what the log must hold before a checkpoint of it. */
  readonly flush: () => Promise<void>;
  /** Called for each committed checkpoint at the end of an epoch. Absent if checkpoints are not evaluated. */
  readonly evaluate: ((checkpoint: Pick<KnownCheckpoint, 'name' | 'step'>) => void) | undefined;
}

export class RunCheckpoints {
  readonly #options: RunCheckpointsOptions;
  readonly #checkpointer: Checkpointer;
  readonly #stepsPerEpoch: number;
  readonly #totalSteps: number;
  /** When the save of a step began. */
  readonly #begun = new Map<number, { readonly ms: number; readonly span: Span }>();
  #lastMs = performance.now();
  /** Step of the newest save that has not failed. */
  #savedStep: number | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: RunCheckpointsOptions) {
    const { store, logger, claimed } = options;
    this.#options = options;
    this.#stepsPerEpoch = Number(claimed.view.run.stepsPerEpoch);
    this.#totalSteps = Number(claimed.view.run.totalSteps);
    this.#checkpointer = new Checkpointer({
      store,
      prefix: checkpointsOf(claimed.view.run.name, claimed.view.run.uid),
      allocate: allocateMemory,
      onCommitted: (saved) => this.#committed(saved),
      onFull: (error) => this.#full(error),
      hurry: options.stopping,
      onFailed: (step, error) => {
        this.#failure = { error };
        this.#savedStep = undefined;
        const span = this.#begun.get(step)?.span;
        this.#begun.delete(step);
        if (span) failWith(span, error);
        span?.end();
        logger.error({ error, step }, 'a checkpoint cannot be saved');
      },
    });
  }

  /** Tells whether a checkpoint is due after this number of steps. */
  isDue(step: number): boolean {
    const { spec, claimed } = this.#options;
    const { saveCkpt, saveCkptFreq, saveCkptSeconds } = spec;
    if (!saveCkpt) return false;
    if (isUnmeasured(claimed.view, step)) return true;
    const epochs = step / this.#stepsPerEpoch;
    if (Number.isInteger(epochs) && (epochs % saveCkptFreq === 0 || step === this.#totalSteps)) return true;
    // A checkpoint by time is skipped while another one is being saved, so that training does not wait for it.
    const due = saveCkptSeconds > 0 && performance.now() - this.#lastMs >= saveCkptSeconds * 1000;
    return due && this.#checkpointer.status.inFlightStep === undefined;
  }

  /** Copies the state; it is written beside the training. Steps it stands for are in the log before it. */
  async save(program: Program, progress: Progress): Promise<void> {
    const begun = performance.now();
    const { claimed, metrics, spec, flush } = this.#options;
    await flush();
    const attributes = { 'dropstream.step': progress.step };
    const span = startSpan('save checkpoint', { parent: this.#options.span, attributes });
    // What is written later belongs to the span, too.
    const stage = () => this.#checkpointer.stage(snapshotOf(program, spec, claimed.view, progress), { signal: claimed.signal });
    await runWithSpan(span.context, stage).catch((error: unknown) => {
      failWith(span, error);
      span.end();
      throw error;
    });
    this.#failure = undefined;
    this.#savedStep = progress.step;
    this.#begun.set(progress.step, { ms: begun, span });
    this.#lastMs = performance.now();
    metrics.checkpointStall.observe((performance.now() - begun) / 1000);
  }

  /** Saves unless this step was saved already, and resolves when its checkpoint is committed. @throws the error of that save */
  async saveLast(program: Program, progress: Progress): Promise<void> {
    // A save in progress may be that of this step, and may still fail.
    await this.#checkpointer.drain({ signal: this.#options.claimed.signal });
    if (this.#savedStep !== progress.step) await this.save(program, progress);
    await this.drain();
  }

  /** Resolves when the last save is committed. @throws the error of that save */
  async drain(): Promise<void> {
    await this.#checkpointer.drain({ signal: this.#options.claimed.signal });
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async close(): Promise<void> {
    await this.#checkpointer.close();
  }

  async #committed(saved: SavedCheckpoint): Promise<void> {
    const { claimed, metrics, evaluate, project, run } = this.#options;
    const begun = this.#begun.get(saved.step);
    const seconds = (performance.now() - (begun?.ms ?? performance.now())) / 1000;
    this.#begun.delete(saved.step);
    const checkpoint = `${claimed.view.run.name}/checkpoints/${saved.id}`;
    const value: CheckpointRecord = { checkpoint, step: BigInt(saved.step), sizeBytes: BigInt(saved.sizeBytes), seconds };
    const view = await claimed.append(() => ({ body: { $case: 'checkpoint', value } }));
    begun?.span.set({ 'dropstream.store.bytes': saved.sizeBytes });
    begun?.span.end();
    metrics.observeCheckpoint({ project, run }, seconds);
    if (view.unevaluated.some(({ name }) => name === checkpoint)) evaluate?.({ name: checkpoint, step: saved.step });
    await this.#deleteOld(view);
  }

  /** Says in the run's log why it waits, if that little record still fits. */
  async #full(error: StoreFull | undefined): Promise<void> {
    const { claimed, logger } = this.#options;
    if (error) logger.error({ error }, 'there is no room for a checkpoint; the run waits for it');
    // The log of the worker says where; whoever reads the run need not know that.
    const message = error === undefined ? '' : `There is no room for a checkpoint (${error.why}); the run waits for room.`;
    const briefly = AbortSignal.any([claimed.signal, AbortSignal.timeout(statusMs)]);
    await claimed
      .append(() => ({ body: { $case: 'status', value: { message } } }), briefly)
      .catch((cause) => logger.warn({ error: cause }, 'the status of the run cannot be written'));
  }

  /** What stays behind goes with the next checkpoint: no reason to fail a save that is committed. */
  async #deleteOld(view: RunView): Promise<void> {
    const { claimed, store, logger, spec, evaluate } = this.#options;
    try {
      const options = { view, keep: spec.saveCkptNum, evaluates: evaluate !== undefined, signal: claimed.signal };
      const gone = await deleteOldCheckpoints(store, options);
      if (gone.length > 0) logger.debug({ checkpoints: gone }, 'old checkpoints were deleted');
    } catch (error) {
      if (!claimed.signal.aborted) logger.warn({ error }, 'old checkpoints cannot be deleted');
    }
  }
}
