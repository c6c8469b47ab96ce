/**
 * The training itself: optimizer steps in order, from a step of the run to its end. Knows neither log nor store: whoever consumes the
 * steps decides between two of them whether to save, stop or go on. Nothing of the program runs while the consumer holds a step.
 */
import type { LossScaling, Program, StepResult } from '#engine/index.js';
import type { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import type { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { failWith, type Span } from '#telemetry/spans.js';
import type { SpanContext } from '#telemetry/tracing.js';
import type { StepRates } from '../run/run-rates.js';
import { meanLoss } from './epoch-means.js';
import type { StepTraces } from './step-traces.js';

/** A step that was made, by one worker or by a group of them. */
export interface ComputedStep extends Pick<StepResult, 'losses' | 'gradNorm' | 'seconds'> {
  /** Number of correct predictions; undefined if images are mixed. */
  readonly correct: number | undefined;
  /** Of the payload of each micro-batch, in order. */
  readonly batchSha256: readonly Uint8Array[];
  /** The step's samples that could not be decoded. */
  readonly replaced: readonly ReplacedSample[];
  readonly dataWaitSeconds: number;
  /** With precision f16. */
  readonly scaling?: StepScaling | undefined;
  /** Of the fetching of its batches. */
  readonly spans: readonly SpanContext[];
  /** Gives back what the step holds; called when nobody uses the step any more. */
  release(): void;
}

/** How the losses of a step were scaled. */
export interface StepScaling {
  readonly lossScale: number;
  /** The gradient overflowed: the step changed neither weights nor moments. */
  readonly skipped: boolean;
  /** The state after the step; undefined if the training cannot go on. */
  readonly after: LossScaling | undefined;
}

/** Makes one step. `signal` ends its waiting for data. */
export type ComputeStep = (step: number, rates: StepRates, signal: AbortSignal) => Promise<ComputedStep>;

export interface LoopOptions {
  readonly program: Pick<Program, 'gpu' | 'peakBytes'>;
  readonly stepsPerEpoch: number;
  readonly fromStep: number;
  readonly toStep: number;
  readonly compute: ComputeStep;
  readonly rates: (step: number) => StepRates;
  /** Ends the loop between two steps, also while it waits for data; never inside a step. */
  readonly signal: AbortSignal;
  /** Spans of the steps; absent if none are recorded. */
  readonly traces?: Pick<StepTraces, 'begin' | 'end'> | undefined;
}

/** The loss or the gradient norm is not a finite number, so training cannot continue. */
export class NonFiniteLoss extends Error {
  override readonly name = 'NonFiniteLoss';
  constructor(
    readonly step: number,
    readonly loss: number,
    readonly gradNorm: number,
  ) {
    super(`loss ${loss}, gradient norm ${gradNorm} at step ${step}: lower lr, set clip_grad, or raise warmup_epochs`);
  }
}

export interface TrainedStep {
  readonly metrics: StepMetrics;
  readonly images: number;
  /** With precision f16: the state of the loss scaling after the step. */
  readonly lossScaling?: LossScaling | undefined;
  /** Seconds of the step on the GPU, and bytes in use there; absent if the program runs on none. */
  readonly gpu: { readonly seconds: number; readonly bytes: number } | undefined;
  /** The step's samples that could not be decoded. */
  readonly replaced: readonly ReplacedSample[];
  /** The span of the step, which lasts until the next step is asked for; absent if it is not recorded. */
  readonly span: SpanContext | undefined;
}

export async function* trainSteps(options: LoopOptions): AsyncGenerator<TrainedStep, void, void> {
  const { program, stepsPerEpoch, compute, rates, signal } = options;
  for (let step = options.fromStep; step < options.toStep; step++) {
    signal.throwIfAborted();
    const begun = performance.now();
    const span = options.traces?.begin(step);
    let computed: ComputedStep | undefined;
    try {
      const used = rates(step);
      computed = await compute(step, used, signal);
      const { losses, gradNorm, seconds, scaling } = computed;
      const metrics = stepMetrics(step, stepsPerEpoch, used, computed, (performance.now() - begun) / 1000);
      const goesOn = scaling?.skipped ? scaling.after !== undefined : Number.isFinite(gradNorm);
      if (!Number.isFinite(metrics.loss) || !goesOn) throw new NonFiniteLoss(step, metrics.loss, gradNorm);
      const gpu = program.gpu && { seconds: seconds.forward + seconds.backward + seconds.optimizer, bytes: program.peakBytes };
      if (span?.recorded) describe(span, computed, metrics);
      const recordedSpan = span?.recorded ? span.context : undefined;
      const { replaced } = computed;
      yield { metrics, images: losses.length, lossScaling: scaling?.after, gpu, replaced, span: recordedSpan };
    } catch (error) {
      if (span) failWith(span, error);
      throw error;
    } finally {
      computed?.release();
      span?.end();
      options.traces?.end(step);
    }
  }
}

/** The record of a step. */
export function stepMetrics(
  step: number,
  stepsPerEpoch: number,
  { lr, dropRate, weightDecay }: StepRates,
  { losses, correct, gradNorm, dataWaitSeconds, batchSha256, scaling }: Omit<ComputedStep, 'release' | 'seconds' | 'spans' | 'replaced'>,
  stepSeconds: number,
): StepMetrics {
  return {
    step: BigInt(step),
    epoch: Math.floor(step / stepsPerEpoch),
    loss: meanLoss(losses),
    lr,
    dropRate,
    weightDecay,
    gradNorm: scaling?.skipped ? 0 : gradNorm,
    classAcc: correct === undefined ? undefined : correct / losses.length,
    dataWaitSeconds,
    stepSeconds,
    batchSha256: batchSha256.map((sha256) => Buffer.from(sha256)),
    lossScale: scaling?.lossScale,
    skipped: scaling?.skipped ?? false,
  };
}

function describe(span: Span, { spans, seconds, batchSha256 }: ComputedStep, metrics: StepMetrics): void {
  for (const batch of spans) span.link(batch);
  span.set({
    'dropstream.step.batches': batchSha256.length,
    'dropstream.step.data_wait_seconds': metrics.dataWaitSeconds,
    'dropstream.step.forward_seconds': seconds.forward,
    'dropstream.step.backward_seconds': seconds.backward,
    'dropstream.step.optimizer_seconds': seconds.optimizer,
    'dropstream.step.loss': metrics.loss,
  });
}
