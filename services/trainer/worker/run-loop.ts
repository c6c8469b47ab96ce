/**
 * The training itself: optimizer steps in order, from a step of the run to its end. Knows neither log nor store: whoever consumes the
 * steps decides between two of them whether to save, stop or go on. Nothing of the program runs while the consumer holds a step.
 */
import { afterStep, firstLossScaling, type LossScaling, type Program, type StepRequest } from '#engine/index.js';
import { layerDecayScales } from '#nn/layer-decay.js';
import { countTopK } from '#nn/metrics.js';
import type { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import type { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { blockRates } from '#schedule/index.js';
import { optimizers } from '#spec/words.js';
import { failWith, type Span } from '#telemetry/spans.js';
import type { SpanContext } from '#telemetry/tracing.js';
import type { PreparedBatch, PreparedBatches } from '#training/prepared-batches.js';
import type { StepRates } from '../run/run-rates.js';
import { mixes, type ResolvedSpec } from '../run/run-spec.js';
import { meanLoss } from './epoch-means.js';
import type { StepTraces } from './step-traces.js';

/** Micro-batches in order. */
export type BatchSource = Pick<PreparedBatches, 'next'>;

export interface LoopOptions {
  readonly program: Program;
  readonly spec: ResolvedSpec;
  readonly stepsPerEpoch: number;
  readonly fromStep: number;
  readonly toStep: number;
  /** In order, beginning with the first one of `fromStep`. The loop hands every batch back. */
  readonly batches: BatchSource;
  readonly rates: (step: number) => StepRates;
  readonly dropKind: DropKind;
  /** With precision f16: the state of the loss scaling before `fromStep`. Default: that of a new run. */
  readonly lossScaling?: LossScaling | undefined;
  /** Ends the loop between two steps, also while it waits for data; never inside a step. */
  readonly signal: AbortSignal;
  /** Computes each step once its data is there; whoever cancels the program meanwhile gets its error from the loop. Default: just runs it. */
  readonly during?: <T>(step: () => Promise<T>) => Promise<T>;
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
  readonly lossScaling: LossScaling | undefined;
  /** Seconds of the step on the GPU, and bytes in use there; absent if the program runs on none. */
  readonly gpu: { readonly seconds: number; readonly bytes: number } | undefined;
  /** The step's samples that could not be decoded. */
  readonly replaced: readonly ReplacedSample[];
  /** The span of the step, which lasts until the next step is asked for; absent if it is not recorded. */
  readonly span: SpanContext | undefined;
}

export async function* trainSteps(options: LoopOptions): AsyncGenerator<TrainedStep, void, void> {
  const { program, spec, stepsPerEpoch, batches, rates, signal, during = (step) => step() } = options;
  const mixed = mixes(spec);
  const [beta1, beta2] = spec.optBetas as [number, number];
  const names = program.parameters.map(({ name }) => name);
  const learningRateScale = layerDecayScales(spec.model, names, spec.layerDecay);
  let scaling = program.fingerprint.precision === 'f16' ? (options.lossScaling ?? firstLossScaling) : undefined;
  for (let step = options.fromStep; step < options.toStep; step++) {
    signal.throwIfAborted();
    const begun = performance.now();
    const span = options.traces?.begin(step);
    let micro: PreparedBatch[] = [];
    try {
      micro = await take(batches, spec.updateFreq, signal);
      const waited = performance.now();
      const { lr, weightDecay, dropRate } = rates(step);
      const path = options.dropKind === DropKind.DROP_PATH;
      const samples = micro.reduce((sum, batch) => sum + batch.samples, 0);
      let firstSample = 0;
      const microBatches = micro.map(({ images, targets, samples: count }) => {
        const first = firstSample;
        firstSample += count;
        return { images, targets, samples: count, firstSample: first };
      });
      const request: StepRequest = {
        microBatches,
        random: {
          seed: spec.seed,
          step,
          dropout: path ? 0 : dropRate,
          ...(path && program.blocks > 0 ? { blockRates: [...blockRates(dropRate, program.blocks)] } : {}),
        },
        lossScale: 1 / samples,
        ...(scaling && { gradientScale: scaling.scale }),
        leaves: spec.gradientLeaves,
        optimizer: {
          kind: optimizers.wordOf(spec.opt),
          beta1,
          beta2,
          eps: spec.optEps,
          momentum: spec.momentum,
          // The optimizer does not count steps that it skipped.
          step: step + 1 - (scaling?.skippedSteps ?? 0),
          clip: spec.clipGrad ?? 0,
          learningRate: lr,
          learningRateScale,
          weightDecay,
          emaDecay: spec.modelEma ? spec.modelEmaDecay : -1,
        },
      };
      const result = await during(() => program.step(request));
      const loss = meanLoss(result.losses);
      const scaled = scaling && afterStep(scaling, result.skipped);
      const goesOn = result.skipped ? scaled !== undefined : Number.isFinite(result.gradNorm);
      if (!Number.isFinite(loss) || !goesOn) throw new NonFiniteLoss(step, loss, result.gradNorm);
      const metrics: StepMetrics = {
        step: BigInt(step),
        epoch: Math.floor(step / stepsPerEpoch),
        loss,
        lr,
        dropRate,
        weightDecay,
        gradNorm: result.skipped ? 0 : result.gradNorm,
        classAcc: mixed ? undefined : accuracy(result.logits, micro, program.classes, samples),
        dataWaitSeconds: (waited - begun) / 1000,
        stepSeconds: (performance.now() - begun) / 1000,
        batchSha256: micro.map(({ sha256 }) => Buffer.from(sha256)),
        lossScale: scaling?.scale,
        skipped: result.skipped,
      };
      scaling = scaled;
      const { forward, backward, optimizer } = result.seconds;
      const gpu = program.gpu && { seconds: forward + backward + optimizer, bytes: program.peakBytes };
      if (span?.recorded) describe(span, micro, metrics, result.seconds);
      const recordedSpan = span?.recorded ? span.context : undefined;
      const replaced = micro.flatMap((one) => one.replaced);
      yield { metrics, images: samples, lossScaling: scaling, gpu, replaced, span: recordedSpan };
    } catch (error) {
      if (span) failWith(span, error);
      throw error;
    } finally {
      for (const batch of micro) batch.release();
      span?.end();
      options.traces?.end(step);
    }
  }
}

function describe(
  span: Span,
  micro: readonly PreparedBatch[],
  metrics: StepMetrics,
  seconds: Awaited<ReturnType<Program['step']>>['seconds'],
): void {
  for (const batch of micro) if (batch.span) span.link(batch.span);
  span.set({
    'dropstream.step.batches': micro.length,
    'dropstream.step.data_wait_seconds': metrics.dataWaitSeconds,
    'dropstream.step.forward_seconds': seconds.forward,
    'dropstream.step.backward_seconds': seconds.backward,
    'dropstream.step.optimizer_seconds': seconds.optimizer,
    'dropstream.step.loss': metrics.loss,
  });
}

async function take(batches: BatchSource, count: number, signal: AbortSignal): Promise<PreparedBatch[]> {
  const taken: PreparedBatch[] = [];
  try {
    while (taken.length < count) {
      const batch = await batches.next(signal);
      if (batch === undefined) throw new Error(`the step lacks ${count - taken.length} batches, because the batches of the run ended`);
      taken.push(batch);
    }
    return taken;
  } catch (error) {
    for (const batch of taken) batch.release();
    throw error;
  }
}

/** Fraction of correct predictions, 0 to 1. */
function accuracy(logits: Float32Array, micro: readonly PreparedBatch[], classes: number, samples: number): number {
  const labels = new Uint32Array(samples);
  let at = 0;
  for (const batch of micro) {
    labels.set(batch.labels, at);
    at += batch.samples;
  }
  return countTopK(logits, labels, classes, 1) / samples;
}
