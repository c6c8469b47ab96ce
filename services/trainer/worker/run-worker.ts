/** Claims runs, runs each attempt and records how it ended: trained, paused, given back, failed, or lost to another worker. */
import { collectivesAvailable } from '#collectives/index.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import type { ConnectOptions } from '#rpc/client.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { spanOfRecord } from '#telemetry/tracing.js';
import { deterministicFailures } from '#training/deterministic-failures.js';
import type { DataAccess } from '#training/prepared-batches.js';
import { type Attempt, ClaimedWorker } from '#work/claimed-worker.js';
import type { ProjectShares } from '#work/fair-share.js';
import { processName } from '#work/instance.js';
import type { TrainerConfig } from '../config.js';
import type { TrainerMetrics } from '../metrics.js';
import type { EvaluatorClient, SchedulerClient } from '../peers.js';
import { StartingPointGone, unpinFinetune } from '../run/finetune-pin.js';
import { type EventBodyAt, heartbeatPrefix, openRunLog, placeOf, runName, runQueue, standingOf } from '../run/run-log.js';
import { hasEnded, type RunView } from '../run/run-state.js';
import { choosingMs } from './engine-choices.js';
import { FinetuneMismatch } from './finetune.js';
import type { GroupAccess } from './group/group-steps.js';
import { RunJoiner } from './group/join-run.js';
import { Shortage } from './group/shortage.js';
import { WantedHere } from './group/wanted-here.js';
import { attemptRun, type RunOutcome } from './run-attempt.js';
import { NonFiniteLoss } from './run-loop.js';
import { RunPrograms } from './run-program.js';
import { RunsHere } from './runs-here.js';
import { TooManyUndecodable } from './undecodable.js';

export interface WorkerDeps {
  readonly store: ObjectStore;
  readonly config: Pick<
    TrainerConfig,
    | 'data'
    | 'workers'
    | 'pollMs'
    | 'leaseTtlMs'
    | 'maxAttempts'
    | 'backoffMs'
    | 'prefetch'
    | 'prefetchBytes'
    | 'dataWaitMs'
    | 'evaluationWaitMs'
    | 'stopStepMs'
    | 'instance'
    | 'succeeds'
    | 'exitWhenIdle'
  >;
  /** How it calls the data service. */
  readonly caller?: ConnectOptions;
  /** Absent: all projects have equal shares of the workers. */
  readonly quotas?: ProjectShares | undefined;
  readonly evaluator: EvaluatorClient | undefined;
  readonly scheduler: SchedulerClient | undefined;
  /** Absent: each run is computed by one worker. */
  readonly group?: Omit<GroupAccess, 'shortage'> | undefined;
  readonly metrics: TrainerMetrics;
  readonly logger: Logger;
  /** Called when it has had no work for as long as config.exitWhenIdle says; it takes no more. */
  readonly onIdle?: () => void;
}

/** How long the leader of a run that lacks workers waits before it looks whether others could use its own, in multiples of the lease's TTL. */
const gatherTtls = 2;

export type RunWorker = ClaimedWorker<EventBodyAt, RunView, RunOutcome>;

/** Starts the worker. The caller must stop it, which saves a checkpoint of every run, after its current step if that ends in time, and gives the run back. */
export function createRunWorker(deps: WorkerDeps): RunWorker {
  const { store, config, metrics, logger } = deps;
  const programs = new RunPrograms();
  const onLeft = { engine: () => metrics.leftWithoutEngine.inc(), numerics: () => metrics.leftToOthers.inc() };
  const here = new RunsHere({ store, programs, evaluator: deps.evaluator, logger, onLeft });
  const wanted = new WantedHere({ store, could: (view, signal) => here.could(view, signal) });
  const shortage = new Shortage({
    hints: runQueue(store).hints,
    wantedOf: (entry, signal) => wanted.of(entry, signal),
    patienceMs: gatherTtls * config.leaseTtlMs,
  });
  const joiner = deps.group && runJoiner({ ...deps, group: deps.group }, programs, shortage);
  return new ClaimedWorker({
    kind: 'run',
    progress: 'a further checkpoint',
    queue: runQueue(store),
    store,
    config,
    shares: deps.quotas,
    logger,
    openLog: (entry) => openRunLog(store, entry),
    name: ({ project, id }) => runName(project, id),
    heartbeatPrefix,
    standing: standingOf,
    place: placeOf,
    traceOf: ({ trace }) => spanOfRecord(trace),
    mayClaim: async (entry, view, signal) => !shortage.isShunned(view.run.uid) && (await here.allow(entry, view, signal)),
    mayClaimMs: choosingMs,
    claim: (view, worker, succeeds) => {
      const claim = { attempt: view.run.attempt + 1, worker, succeeds, ...here.choices.of(view) };
      return { body: { $case: 'claimed', value: claim } };
    },
    ...(joiner && {
      // A member may come to lead the run.
      mayJoin: (view) => here.evaluator.suffices(view) && joiner.mayJoin(view),
      mightJoin: ({ uid }) => joiner.mightJoin(uid),
      join: async (entry, view, membership, claim) => {
        if (!here.evaluator.suffices(view)) return false;
        return await joiner.join(entry, view, membership, () => {
          here.choices.keep(view);
          return claim();
        });
      },
    }),
    attempt: (attempt) => attempted({ ...deps, programs, joiner, shortage }, attempt),
    ended: endOf,
    failed: (reason, forGood) => stateBody(forGood ? RunState.FAILED : RunState.QUEUED, reason),
    isDeterministic: deterministicFailures([NonFiniteLoss, TooManyUndecodable, FinetuneMismatch, StartingPointGone]),
    release: async (_, view) => {
      if (hasEnded(view.run.state)) await unpinFinetune(store, view, AbortSignal.timeout(10_000));
    },
    onOutcome: (outcome) => metrics.attempts.inc({ outcome }),
    ...(deps.onIdle && { onIdle: deps.onIdle }),
    onDepth: (waiting) => metrics.queueDepth.set(waiting),
    onActive: (active) => metrics.runsActive.set(active),
  });
}

function dataAccess({ data, prefetch, prefetchBytes, dataWaitMs }: WorkerDeps['config'], caller: ConnectOptions | undefined): DataAccess {
  return { addresses: data, ...(caller && { connect: caller }), inFlight: prefetch, inFlightBytes: prefetchBytes, totalMs: dataWaitMs };
}

function runJoiner(
  { store, config, caller, group, logger }: WorkerDeps & { readonly group: Omit<GroupAccess, 'shortage'> },
  programs: RunPrograms,
  shortage: Shortage,
): RunJoiner {
  return new RunJoiner({
    store,
    programs,
    data: dataAccess(config, caller),
    connect: caller ?? {},
    worker: processName(config.instance),
    host: group.host,
    silenceMs: group.silenceMs,
    stopStepMs: config.stopStepMs,
    leaseTtlMs: config.leaseTtlMs,
    shortage,
    metrics: group.metrics,
    logger,
    available: collectivesAvailable,
  });
}

async function attempted(
  { caller, joiner, shortage, ...deps }: WorkerDeps & { programs: RunPrograms; joiner: RunJoiner | undefined; shortage: Shortage },
  { id, ...attempt }: Attempt<EventBodyAt, RunView>,
): Promise<RunOutcome> {
  const forgetMetrics = deps.metrics.enter(attempt.project, id);
  try {
    return await attemptRun({
      ...deps,
      ...attempt,
      run: id,
      data: dataAccess(deps.config, caller),
      evaluationWaitMs: deps.config.evaluationWaitMs,
      stopStepMs: deps.config.stopStepMs,
      group: deps.group && { ...deps.group, shortage },
      inheritance: joiner?.takeInheritance(attempt.uid),
    });
  } finally {
    await forgetMetrics();
  }
}

function endOf(outcome: RunOutcome, view: RunView): EventBodyAt {
  if (outcome.kind === 'trained') return stateBody(RunState.SUCCEEDED, outcome.note);
  // A pause may have been requested while the worker was stopping.
  if (outcome.kind === 'paused' || view.run.pauseRequested) return stateBody(RunState.PAUSED, 'paused by request');
  if (outcome.kind === 'short') return stateBody(RunState.QUEUED, 'it had fewer workers than workers.min, and other runs wait', true);
  return stateBody(RunState.QUEUED, 'the worker is stopping and gave it back', true);
}

function stateBody(state: RunState, reason: string, released = false): EventBodyAt {
  return { body: { $case: 'state', value: { state, reason, released } } };
}
