/**
 * Computes the state of a run as a pure fold of its log. Every process that reads the same records gets the same state; a snapshot stores
 * the state after the first records, which then do not have to be read.
 */
import { type DropKind, ScheduleSegment } from '#protocol/dropstream/v1/schedule_types.js';
import { type CreatedRecord, type ResumedRecord, Run, type RunEvent, RunState, type StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import type { RecordedSpan } from '#telemetry/tracing.js';
import { type CutoffView, cutoffAfter, type Measurements, measurementsAfter } from './adaptive-cutoff.js';
import type { ScheduleChange } from './run-rates.js';

/** A committed checkpoint in the log. */
export interface KnownCheckpoint {
  /** projects/{project}/runs/{run}/checkpoints/{checkpoint} */
  readonly name: string;
  /** Optimizer step of the checkpoint. */
  readonly step: number;
  /** Sequence number of its record: of two checkpoints of one step, the one that was committed later is the newer one. */
  readonly sequence: number;
  /** True if the newest attempt that wanted to begin with it could not load it: it is damaged, or gone. */
  readonly damaged: boolean;
}

export interface RunView {
  readonly run: Run;
  /** Identifies the newest claim (not the machine); empty before the first one. */
  readonly owner: string;
  /** Sequence of the newest claim; 0 before the first one. Appends for an older claim fail. */
  readonly fence: number;
  /** Number of training samples. */
  readonly trainSamples: number;
  readonly classes: readonly string[];
  /** Digest of the spec and labels in the request. */
  readonly specDigest: string;
  /** Of the request that created the run; empty if it had none. */
  readonly requestId: string;
  /** Number of claims since the last lasting progress: a checkpoint of a later step than any before, or the end of the run. */
  readonly fruitlessAttempts: number;
  /** First step of the newest attempt that went on from memory; absent in snapshots of older versions. */
  readonly inheritedAt?: number;
  /** Newest first, at most `rememberedCheckpoints`. */
  readonly checkpoints: readonly KnownCheckpoint[];
  /** Checkpoints at epoch boundaries without an evaluation record, oldest first, at most `rememberedCheckpoints`. */
  readonly unevaluated: readonly KnownCheckpoint[];
  /** Top-1 in percent of evaluated checkpoints among `checkpoints`, by name. */
  readonly top1ByCheckpoint: Readonly<Record<string, number>>;
  /** Optimizer step of the best evaluated checkpoint. */
  readonly bestStep: number;
  /** Number of distinct undecodable samples so far. */
  readonly skippedSamples: number;
  /** Newest revision of the schedule in the log; 0 if the run has no schedule. */
  readonly scheduleRevision: number;
  /** Drop schedules in log order; the first one is the run's own. */
  readonly scheduleChanges: readonly ScheduleChange[];
  readonly dropKind: DropKind;
  /** Absent before the first measurement of an adaptive cutoff. */
  readonly cutoff?: CutoffView;
  readonly measurements?: Measurements;
  /** The call that created the run; absent in snapshots of older versions. */
  readonly trace?: RecordedSpan;
}

/** Limits the size of the view; larger than the number of checkpoints that a run can need. */
const rememberedCheckpoints = 1024;

const terminal = new Set([RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]);

/** True if the run can no longer change. */
export function hasEnded(state: RunState): boolean {
  return terminal.has(state);
}

/** A log does not begin with its created record, or has a record that its state does not allow. */
export class BrokenRunLog extends Error {
  override readonly name = 'BrokenRunLog';
  constructor(
    readonly run: string,
    readonly sequence: number,
    readonly why: string,
  ) {
    super(`the log of run ${run} is broken at ${sequence}: ${why}`);
  }
}

/** The view after `event`, whose sequence must follow the view's. `view` is undefined before the first record. */
export function applyEvent(view: RunView | undefined, event: RunEvent, name = ''): RunView {
  const sequence = Number(event.sequence);
  const body = event.event;
  if (view === undefined) {
    if (body?.$case !== 'created' || body.value.run === undefined) {
      throw new BrokenRunLog(name, sequence, `it begins with ${body?.$case ?? 'nothing'} instead of created`);
    }
    return created(body.value.run, body.value, event);
  }
  const next = changed(view, body, sequence);
  return { ...next, run: { ...next.run, logSequence: event.sequence, etag: etagOf(next.run, event) } };
}

/** The sequence alone would fit another run of the same name. */
const etagOf = ({ uid }: Run, { sequence }: RunEvent): string => `${uid.slice(0, 16)}-${sequence}`;

function created(run: Run, record: CreatedRecord, event: RunEvent): RunView {
  return {
    run: {
      ...run,
      state: RunState.QUEUED,
      createTime: event.time,
      logSequence: event.sequence,
      etag: etagOf(run, event),
    },
    owner: '',
    fence: 0,
    trainSamples: Number(record.trainSamples),
    classes: record.classes,
    specDigest: record.specDigest,
    requestId: record.requestId,
    fruitlessAttempts: 0,
    checkpoints: [],
    unevaluated: [],
    top1ByCheckpoint: {},
    bestStep: 0,
    skippedSamples: 0,
    scheduleRevision: Number(run.spec?.scheduleRevision ?? 0n),
    scheduleChanges: [{ effectiveStep: 0, segments: run.dropSegments }],
    dropKind: record.dropKind,
    trace: { traceparent: record.traceparent, tracestate: record.tracestate },
  };
}

function changed(view: RunView, body: RunEvent['event'], sequence: number): RunView {
  const { run } = view;
  const withRun = (part: Partial<Run>, rest: Partial<RunView> = {}): RunView => ({ ...view, ...rest, run: { ...run, ...part } });
  switch (body?.$case) {
    case 'claimed':
      return withRun(
        {
          state: RunState.RUNNING,
          attempt: body.value.attempt,
          statusMessage: '',
          dataWaitShare: 0,
          engine: body.value.engine,
          workers: [body.value.worker],
        },
        { owner: body.value.worker, fence: sequence, fruitlessAttempts: view.fruitlessAttempts + 1 },
      );
    case 'resumed':
      return withRun(
        { step: body.value.fromStep },
        { checkpoints: begunWith(view, body.value.checkpoint), ...inherited(view, body.value) },
      );
    case 'checkpointSkipped':
      return withRun({}, { checkpoints: withoutSkipped(view, body.value.checkpoint) });
    case 'steps': {
      const last = body.value.steps.at(-1);
      return last === undefined ? view : withRun({ step: last.step + 1n, dataWaitShare: dataWaitShareOf(body.value.steps) });
    }
    case 'checkpoint': {
      const checkpoint = { name: body.value.checkpoint, step: Number(body.value.step), sequence, damaged: false };
      // A checkpoint of no later step than an earlier one is not progress.
      const further = checkpoint.step > (view.checkpoints[0]?.step ?? 0);
      const others = view.checkpoints.filter(({ name }) => name !== checkpoint.name);
      const boundary = Number(run.stepsPerEpoch) > 0 && checkpoint.step > 0 && checkpoint.step % Number(run.stepsPerEpoch) === 0;
      const waits = boundary && !view.unevaluated.some(({ name }) => name === checkpoint.name);
      return withRun(
        { latestCheckpoint: checkpoint.name },
        {
          checkpoints: [checkpoint, ...others].slice(0, rememberedCheckpoints),
          unevaluated: waits ? [...view.unevaluated, checkpoint].slice(-rememberedCheckpoints) : view.unevaluated,
          fruitlessAttempts: further ? 0 : view.fruitlessAttempts,
        },
      );
    }
    case 'evaluation': {
      const { checkpoint, result } = body.value;
      const step = Number(body.value.step);
      const unevaluated = view.unevaluated.filter(({ name }) => name !== checkpoint);
      const top1 = result?.weights?.top1;
      if (top1 === undefined) {
        const evaluationFailure = body.value.failure || 'the evaluation ended without a result';
        return withRun({ evaluationsFailed: run.evaluationsFailed + 1, evaluationFailure }, { unevaluated });
      }
      const evaluationsSucceeded = run.evaluationsSucceeded + 1;
      const remembered = view.checkpoints.map(({ name }) => [name, name === checkpoint ? top1 : view.top1ByCheckpoint[name]] as const);
      const top1ByCheckpoint = Object.fromEntries(remembered.filter((pair): pair is readonly [string, number] => pair[1] !== undefined));
      if (!isBest(view, step, top1)) return withRun({ evaluationsSucceeded }, { unevaluated, top1ByCheckpoint });
      return withRun(
        { bestCheckpoint: checkpoint, bestTop1: top1, evaluationsSucceeded },
        { unevaluated, top1ByCheckpoint, bestStep: step },
      );
    }
    case 'state': {
      const { state, reason, released } = body.value;
      return withRun(
        {
          state,
          failure: state === RunState.FAILED ? reason : '',
          pauseRequested: false,
          statusMessage: '',
          dataWaitShare: 0,
          workers: [],
        },
        { fruitlessAttempts: fruitlessAfter(view, state, released) },
      );
    }
    case 'scheduleChanged': {
      const { segments, revision } = body.value;
      const change = { effectiveStep: Number(body.value.effectiveStep), segments };
      return withRun(
        { dropSegments: segments },
        { scheduleRevision: Number(revision), scheduleChanges: [...view.scheduleChanges, change] },
      );
    }
    case 'cutoffMeasured': {
      const { segments, endsAtStep } = body.value;
      const measured = { cutoff: cutoffAfter(body.value), measurements: measurementsAfter(view.measurements, body.value) };
      if (!measured.cutoff.ends) return { ...view, ...measured };
      const change = { effectiveStep: Number(endsAtStep), segments };
      return withRun({ dropSegments: segments }, { ...measured, scheduleChanges: [...view.scheduleChanges, change] });
    }
    case 'dataSkipped':
      return withRun({}, { skippedSamples: Number(body.value.total) });
    case 'group':
      return withRun({ workers: body.value.members.map(({ worker }) => worker) });
    case 'status':
      return withRun({ statusMessage: body.value.message });
    case 'pauseRequested':
      return withRun({ pauseRequested: run.state === RunState.RUNNING || run.state === RunState.QUEUED });
    default:
      // Epochs do not change the view; kinds of records that a newer release added are ignored.
      return view;
  }
}

/**
 * A worker that goes on from memory at a later step than the last one that did has not failed: it took over from a leader that was lost, and the run has
 * come further without a checkpoint.
 */
function inherited({ inheritedAt = 0, fruitlessAttempts }: RunView, { inMemory, fromStep }: ResumedRecord): Partial<RunView> {
  if (!inMemory || Number(fromStep) <= inheritedAt) return {};
  return { inheritedAt: Number(fromStep), fruitlessAttempts: Math.max(0, fruitlessAttempts - 1) };
}

const withoutSkipped = ({ checkpoints }: RunView, skipped: string): readonly KnownCheckpoint[] =>
  checkpoints.map((one) => (one.name === skipped ? { ...one, damaged: true } : one));

/** An attempt begins with the newest checkpoint that it can load, so those that are newer are damaged or gone. */
function begunWith({ checkpoints }: RunView, name: string): readonly KnownCheckpoint[] {
  const at = checkpoints.findIndex((one) => one.name === name);
  return checkpoints.map((one, k) => (k <= at ? { ...one, damaged: k < at } : one));
}

function dataWaitShareOf(steps: readonly StepMetrics[]): number {
  let [waited, seconds] = [0, 0];
  for (const step of steps) [waited, seconds] = [waited + step.dataWaitSeconds, seconds + step.stepSeconds];
  return seconds > 0 ? Math.min(1, waited / seconds) : 0;
}

/** Resuming a run resets the number of claims without progress. A worker that stops takes its own claim back; one that failed does not. */
function fruitlessAfter({ run, fruitlessAttempts }: RunView, state: RunState, released: boolean): number {
  if (state !== RunState.QUEUED) return fruitlessAttempts;
  if (run.state === RunState.PAUSED) return 0;
  return released ? Math.max(0, fruitlessAttempts - 1) : fruitlessAttempts;
}

/**
 * The best checkpoint has the highest top-1 and, of equal ones, the lowest step. It does not depend on the order in which evaluations end.
 */
export function isBest(view: RunView, step: number, top1: number): boolean {
  const { bestTop1 } = view.run;
  return bestTop1 === undefined || top1 > bestTop1 || (top1 === bestTop1 && step < view.bestStep);
}

/** Changes with the fields of a view and with how they are computed. */
const snapshotVersion = 6;

/** Encodes a view as JSON for a snapshot. */
export function encodeView({ run, scheduleChanges, ...rest }: RunView): string {
  const changes = scheduleChanges.map(({ effectiveStep, segments }) => ({ effectiveStep, segments: segments.map(ScheduleSegment.toJSON) }));
  return JSON.stringify({ version: snapshotVersion, run: Run.toJSON(run), scheduleChanges: changes, ...rest });
}

/** @throws Error if the text is not a snapshot of this version; the log must then be read from its beginning */
export function decodeView(text: string): RunView {
  const { version, run, scheduleChanges, ...rest } = JSON.parse(text) as EncodedView;
  if (version !== snapshotVersion) throw new Error(`snapshot version ${version}`);
  const changes = scheduleChanges.map(({ effectiveStep, segments }) => ({
    effectiveStep,
    segments: segments.map(ScheduleSegment.fromJSON),
  }));
  return { ...rest, run: Run.fromJSON(run), scheduleChanges: changes };
}

interface EncodedView extends Omit<RunView, 'run' | 'scheduleChanges'> {
  readonly version: number;
  readonly run: unknown;
  readonly scheduleChanges: readonly { readonly effectiveStep: number; readonly segments: readonly unknown[] }[];
}
