/**
 * Has the gradients of checkpoints measured for the adaptive cutoff, and writes to the run's log what follows. A measurement is asked for when its
 * checkpoint was taken, and goes on beside the training; the step from which it counts is waited for. What the log has is never measured again.
 */
import { orAborted } from '#bounds/or-aborted.js';
import { formatName } from '#errors/resource-names.js';
import { EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import type { CutoffMeasuredRecord } from '#protocol/dropstream/v1/trainer.js';
import { type DirectionErrors, decide, effectiveStep, nextMeasurement, segmentsEndingAt } from '../run/adaptive-cutoff.js';
import { measuredBatch } from '../run/batch-plans.js';
import { dropRateAt } from '../run/run-rates.js';
import type { AttemptContext } from './attempt-context.js';
import { describeRefusal, endedBadly, evaluated, type Followed, requestIdOf } from './followed-evaluation.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import type { WaitingStatus } from './waiting-status.js';

/** What a measurement brought, without what follows from it. */
type Measured = Pick<CutoffMeasuredRecord, 'checkpoint' | 'evaluation' | 'failure' | 'fingerprint'> & {
  readonly errors: DirectionErrors | undefined;
};

interface UnderWay {
  readonly step: number;
  readonly followed: Followed;
  readonly done: Promise<Measured>;
}

export interface CutoffParts {
  readonly checkpoints: Pick<RunCheckpoints, 'drain'>;
  readonly waiting: WaitingStatus;
  /** Ends the waiting between two steps. */
  readonly signal: AbortSignal;
}

export class CutoffMeasurements {
  readonly #context: AttemptContext;
  readonly #parts: CutoffParts;
  readonly #ending = new AbortController();
  #underWay: UnderWay | undefined;

  /** Whoever makes it closes it. */
  constructor(context: AttemptContext, parts: CutoffParts) {
    this.#context = context;
    this.#parts = parts;
  }

  /**
   * Before a step: takes the measurements that count from it on, and asks for that of its own checkpoint.
   * @throws the signal's reason; the error of a save that failed
   */
  async takeBefore(step: number): Promise<void> {
    const { claimed } = this.#context;
    for (;;) {
      const next = nextMeasurement(claimed.view);
      if (next === undefined || next > step) return;
      // Before the run goes on, so that whoever takes over from memory finds it, too.
      if (next === step && this.#checkpointOf(step) === undefined) await this.#parts.checkpoints.drain();
      const { done, followed } = this.#ask(next);
      const effective = effectiveStep(claimed.view.run, next);
      if (effective > step) return;
      await this.#record(next, await this.#parts.waiting.during(() => this.#why(effective, followed), orAborted(done, this.#parts.signal)));
    }
  }

  async close(): Promise<void> {
    this.#ending.abort(new Error('the measurements of the cutoff are no longer followed'));
    await this.#underWay?.done.catch(() => undefined);
  }

  #ask(step: number): UnderWay {
    if (this.#underWay?.step === step) return this.#underWay;
    const followed: Followed = { name: '', error: undefined };
    const done = this.#measure(step, followed);
    // The error is thrown where the measurement is waited for.
    done.catch(() => undefined);
    this.#underWay = { step, followed, done };
    return this.#underWay;
  }

  #checkpointOf(step: number): string | undefined {
    return this.#context.claimed.view.checkpoints.find((one) => one.step === step && !one.damaged)?.name;
  }

  async #measure(step: number, followed: Followed): Promise<Measured> {
    const { evaluator, claimed, project, logger } = this.#context;
    const signal = AbortSignal.any([claimed.signal, this.#ending.signal]);
    const nothing = { errors: undefined, fingerprint: '' };
    const checkpoint = this.#checkpointOf(step);
    if (checkpoint === undefined) return { ...nothing, checkpoint: '', evaluation: '', failure: 'the run has no checkpoint of this step' };
    if (evaluator === undefined) throw new Error('a worker without --evaluator must not have claimed the run (evaluator-here.ts)');
    try {
      const request = {
        parent: formatName('project', { project }),
        requestId: requestIdOf('cutoff', checkpoint, claimed.view.run.uid),
        spec: this.#spec(checkpoint, step),
      };
      const ended = await evaluated({ client: evaluator, request, logger, signal, followed });
      const { withDrop, withoutDrop, fingerprint = '' } = ended.result?.gradientStatistics ?? {};
      const failure = endedBadly(ended);
      if (failure === '' && withDrop?.error !== undefined && withoutDrop?.error !== undefined) {
        const errors = { withDrop: withDrop.error, withoutDrop: withoutDrop.error };
        return { checkpoint, evaluation: ended.name, failure, fingerprint, errors };
      }
      return { ...nothing, checkpoint, evaluation: ended.name, failure: failure || 'no gradient has a direction' };
    } catch (error) {
      if (signal.aborted) throw error;
      return { ...nothing, checkpoint, evaluation: followed.name, failure: describeRefusal(error) };
    }
  }

  /** The training images, in mini-batches of an optimizer step, with the masks and the rate of the run at this step. */
  #spec(checkpoint: string, step: number): EvaluationSpec {
    const { spec, claimed } = this.#context;
    const rate = dropRateAt(claimed.view.scheduleChanges, step);
    const isPath = claimed.view.dropKind === DropKind.DROP_PATH;
    return EvaluationSpec.fromPartial({
      checkpoint,
      batchSize: measuredBatch(spec),
      gradientStatistics: {
        batches: spec.cutoffBatches ?? 0,
        dropout: isPath ? 0 : rate,
        dropPath: isPath ? rate : 0,
        seed: spec.seed,
      },
    });
  }

  async #record(step: number, { errors, ...measured }: Measured): Promise<void> {
    const { claimed, logger, totalSteps } = this.#context;
    let record: CutoffMeasuredRecord | undefined;
    await claimed.append((now) => {
      const { notHelping, ends } = decide(now, errors);
      const endsAtStep = ends ? effectiveStep(now.run, step) : 0;
      record = {
        ...measured,
        step: BigInt(step),
        dropRate: dropRateAt(now.scheduleChanges, step),
        errorWithDrop: errors?.withDrop,
        errorWithoutDrop: errors?.withoutDrop,
        notHelping,
        endsAtStep: BigInt(endsAtStep),
        segments: ends ? segmentsEndingAt(endsAtStep, now.run.dropSegments, totalSteps) : [],
      };
      return { body: { $case: 'cutoffMeasured', value: record } };
    });
    const { failure } = measured;
    const said = { step, with_drop: errors?.withDrop, without_drop: errors?.withoutDrop, not_helping: record?.notHelping };
    if (failure !== '') logger.warn({ step, failure }, 'the gradients could not be measured for the adaptive cutoff');
    else if (record !== undefined && record.endsAtStep > 0n)
      logger.info({ ...said, ends_at_step: Number(record.endsAtStep) }, 'the drop ends');
    else logger.info(said, 'the gradients were measured for the adaptive cutoff');
  }

  /** Completes "the run …". */
  #why(effective: number, { name, error }: Followed): string {
    const waits = `waits before step ${effective} for the measurement that decides whether its drop ends there`;
    if (error !== undefined) return `${waits}; the evaluator does not answer: ${describeRefusal(error)}`;
    return name === '' ? `${waits}; the evaluator has not answered yet` : `${waits}: ${name}`;
  }
}
