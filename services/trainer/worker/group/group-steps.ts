/** Computes the steps of a run together with the workers that join it: the leader's part of an attempt. */
import type { BatchFailure } from '#data/client/batch-client.js';
import type { Program } from '#engine/index.js';
import { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { instanceOf } from '#work/instance.js';
import { placeOf } from '../../run/run-log.js';
import { workersOf } from '../../run/run-spec.js';
import type { AttemptContext } from '../attempt-context.js';
import type { Computation } from '../computation.js';
import { Interrupted } from '../interruption.js';
import { type ComputedStep, stepMetrics } from '../run-loop.js';
import type { Progress } from '../training-state.js';
import type { WaitingStatus } from '../waiting-status.js';
import type { GroupDoors } from './doors.js';
import { Group, type GroupStep } from './group.js';
import { groupBatches } from './group-batches.js';
import type { GroupMetrics } from './group-metrics.js';
import { LocalParticipant } from './local-participant.js';
import { Rendezvous } from './rendezvous.js';
import { Roster } from './roster.js';
import type { Shortage } from './shortage.js';
import { encodeProgress } from './standby.js';

/** How this process takes part in groups. */
export interface GroupAccess {
  readonly doors: GroupDoors;
  /** Address of this machine that other workers reach. */
  readonly host: string;
  /** How long another worker may say nothing. */
  readonly silenceMs: number;
  readonly metrics: GroupMetrics;
  /** What becomes of runs that have fewer workers than they need. */
  readonly shortage: Shortage;
}

export interface GroupStepsOptions {
  readonly access: GroupAccess;
  readonly program: Program;
  readonly fromStep: number;
  readonly waiting: WaitingStatus;
  readonly onFailure: (failure: BatchFailure) => void;
  /** What the run waits for when it waits for data. */
  readonly whyNoData: () => string;
  /** Progress of the run between two steps. */
  readonly progress: () => Progress;
  /** Resolves when the records of all steps so far are in the log. */
  readonly flush: () => Promise<void>;
  /** Number of workers that are likely to join at once, because they were in the group of the former leader. */
  readonly expected: number;
  /** Ends waiting for data and for workers. */
  readonly signal: AbortSignal;
  readonly during: <T>(step: () => Promise<T>) => Promise<T>;
}

/** Steps after which the weights of all members are compared. */
const compareEvery = 100;

/** How long a new leader waits for the members of the former one before its first step. */
const rejoinMs = 2000;

/** The caller closes it. */
export function groupSteps(context: AttemptContext, options: GroupStepsOptions): Computation {
  const { claimed, spec, stepsPerEpoch, project, run, data, logger } = context;
  const { access, program, fromStep, waiting, onFailure, whyNoData, progress, flush, expected, signal, during } = options;
  const { doors, host, silenceMs, metrics, shortage } = access;
  const { min, max } = workersOf(spec);
  const rendezvous = new Rendezvous();
  const fingerprint = fingerprintLine(program.fingerprint);
  const batches = groupBatches({ data, project, spec, stepsPerEpoch, program, logger, onFailure, signal: claimed.signal });
  const local = new LocalParticipant({
    worker: instanceOf(claimed.view.owner),
    program,
    spec,
    dropKind: claimed.view.dropKind,
    batches: {
      use: (leaves, step) => batches.use(leaves, step),
      take: (step, leaf, waits) => waiting.during(whyNoData, batches.take(step, leaf, waits)),
    },
    host,
    keysOf: (generation) => rendezvous.keysOf(generation),
    silenceMs,
    step: fromStep,
    signal,
  });
  let announced = '';
  const announce = (): void => {
    const { address } = doors;
    if (address === undefined) return;
    const offer = { address, members: roster.size, wants: roster.room, needs: Math.max(0, min - roster.size) };
    if (JSON.stringify(offer) === announced) return;
    announced = JSON.stringify(offer);
    claimed.announce(offer);
  };
  const roster: Roster = new Roster({ leader: local, least: min, most: max, onSize: announce, metrics, logger });
  const group = new Group({
    leaves: spec.gradientLeaves,
    roster,
    local,
    parameters: program.parameters.map(({ name }) => name),
    fingerprint,
    append: (value) => context.append({ $case: 'group', value }),
    describe: (step, values, leaves) => ({
      metrics: stepMetrics(step, stepsPerEpoch, values, computedStep({ leaves, gradNorm: 0, exchangeSeconds: 0, optimizerSeconds: 0 }), 0),
      replaced: leaves.flatMap(({ replaced }) => replaced),
      recorded: claimed.view.run.step,
    }),
    progress: async () => {
      await flush();
      return encodeProgress(progress());
    },
    onGeneration: (generation) => rendezvous.begin(generation),
    onFormed: (homes) => metrics.formed({ project, run }, homes),
    metrics,
    logger,
  });
  const shut = doors.open({ run: claimed.view.run.name, uid: claimed.view.run.uid, fence: claimed.fence, fingerprint, roster, rendezvous });
  let isShort = false;
  /** @throws Interrupted if others can use this worker */
  const gather = async (): Promise<void> => {
    const own = { project, id: run, uid: claimed.view.run.uid, ...placeOf(claimed.view) };
    const begun = performance.now();
    while (roster.size < min) {
      await roster.change({ withinMs: shortage.lookMs, signal });
      if (roster.size >= min) break;
      const reason = await shortage.reasonToGiveBack(own, performance.now() - begun, signal).catch((error) => {
        signal.throwIfAborted();
        logger.debug({ error }, 'the queue could not be read');
      });
      if (!reason) continue;
      logger.info({ workers: roster.size, needs: min, reason }, 'the run is given back, because it has fewer workers than it needs');
      shortage.shun(own.uid);
      isShort = true;
      throw new Interrupted('short');
    }
    shortage.forget(own.uid);
  };
  const enough = async (): Promise<void> => {
    const why = (): string => `waits for workers: it has ${roster.size}, and needs at least ${min} (workers.min)`;
    if (roster.size < min) await waiting.during(why, gather());
  };
  /** Those that have lost their leader with this one come by themselves, if they are still there. */
  const formerMembers = async (): Promise<void> => {
    const untilMs = performance.now() + rejoinMs;
    for (let leftMs = rejoinMs; roster.size < expected && leftMs > 0 && !signal.aborted; leftMs = untilMs - performance.now())
      await roster.change({ withinMs: leftMs, signal }).catch(() => undefined);
  };
  let first = expected > 1;
  const ready = batches.use(
    Array.from({ length: spec.gradientLeaves }, (_, leaf) => leaf),
    fromStep,
  );
  return {
    compute: async (step, rates) => {
      announce();
      await ready;
      if (first) await formerMembers();
      first = false;
      await enough();
      const made = await during(async () => {
        await group.settle(step);
        return await group.step(step, rates);
      });
      if ((step + 1) % compareEvery === 0) await group.compare(step + 1);
      return computedStep(made);
    },
    check: (step) => group.compare(step),
    cancel: () => group.cancel(),
    close: async () => {
      shut();
      claimed.announce(undefined);
      roster.close(isShort ? 'the run has fewer workers than it needs' : 'the leader has ended its attempt at the run', isShort);
      await ready.catch(() => undefined);
      await local.close();
      await batches.close();
    },
  };
}

function computedStep({ leaves, gradNorm, optimizerSeconds }: GroupStep): ComputedStep {
  const total = (of: (leaf: GroupStep['leaves'][number]) => number): number => leaves.reduce((sum, leaf) => sum + of(leaf), 0);
  const mixed = leaves.some(({ correct }) => correct === undefined);
  return {
    losses: Float32Array.from(leaves.flatMap(({ losses }) => losses)),
    correct: mixed ? undefined : total(({ correct }) => correct ?? 0),
    gradNorm,
    batchSha256: leaves.flatMap(({ batchSha256 }) => batchSha256),
    replaced: leaves.flatMap(({ replaced }) => replaced.map((bytes) => ReplacedSample.decode(bytes))),
    dataWaitSeconds: Math.max(...leaves.map(({ dataWaitSeconds }) => dataWaitSeconds)),
    seconds: {
      forward: total(({ forwardSeconds }) => forwardSeconds),
      backward: total(({ backwardSeconds }) => backwardSeconds),
      optimizer: optimizerSeconds,
    },
    spans: [],
    release: () => undefined,
  };
}
