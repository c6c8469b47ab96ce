/** The code under test, as the trainer puts it together: the runs of its API, and a worker whose training is a few records in the run's log. */
import { NotFound } from '#errors/errors.js';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { CreatedRecord, Run, RunState, StepsRecord } from '#protocol/dropstream/v1/trainer.js';
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';
import { silentLogger } from '#telemetry/logger.js';
import { ClaimedWorker } from '#work/claimed-worker.js';
import { Runs } from '../../services/trainer/api/runs.js';
import {
  type EventBodyAt,
  heartbeatPrefix,
  openRunLog,
  placeOf,
  runName,
  runQueue,
  standingOf,
} from '../../services/trainer/run/run-log.js';
import { hasEnded, type RunView } from '../../services/trainer/run/run-state.js';

const logger = silentLogger();

export const PROJECT = 'p';
export const RUN = 'r';
const TTL_MS = 600;
const POLL_MS = TTL_MS / 2;

/** A signal that nobody aborts. Each call has its own: one that all share would keep every execution's listeners. */
export const never = (): AbortSignal => new AbortController().signal;

/** Waits in virtual time while a simulation runs. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const runsOf = (store: ObjectStore): Runs => new Runs({ store, watchPollMs: POLL_MS, onError: () => {} });

/** What a client does with UNAVAILABLE: it asks again, a few times. */
export async function again<T>(call: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || tries === 5) throw error;
    }
    await pause(20);
  }
}

/** The record of a run that is told apart from others of its name by its mark. */
function markedRun(mark: number): CreatedRecord {
  return CreatedRecord.fromPartial({
    state: RunState.QUEUED,
    run: Run.fromPartial({ name: runName(PROJECT, RUN), state: RunState.QUEUED, totalSteps: 2n, stepsPerEpoch: 2n }),
    trainSamples: 2n,
    specDigest: `mark ${mark}`,
    requestId: `mark-${mark}`, // a create whose reply was lost is repeated
  });
}

export const markOf = ({ specDigest }: RunView): number => Number(specDigest.slice('mark '.length));

export const create = (runs: Runs, mark: number): Promise<RunView> => again(() => runs.create(PROJECT, RUN, markedRun(mark), never()));

/** Cancels what has not ended yet. */
export const cancel = (runs: Runs): Promise<RunView> =>
  again(() =>
    runs.change(
      PROJECT,
      RUN,
      ({ run }) =>
        hasEnded(run.state)
          ? undefined
          : { $case: 'state', value: { state: RunState.CANCELLED, reason: 'cancelled by request', released: false } },
      never(),
    ),
  );

/** Deletes what has ended; a repeated call finds nothing to delete if the first one did it and its reply was lost. */
export async function remove(runs: Runs): Promise<void> {
  let tries = 0;
  await again(async () => {
    tries++;
    await runs.delete(PROJECT, RUN, '', never()).catch((error) => {
      if (!(error instanceof NotFound) || tries === 1) throw error;
    });
  });
}

export interface Attempted {
  readonly mark: number;
  readonly fence: number;
}

/** A worker that trains two steps, `stepMs` apart. It looks for work until the execution is cut. */
export function startWorker(
  store: ObjectStore,
  stepMs: number,
  onAttempt: (attempt: Attempted) => void,
): ClaimedWorker<EventBodyAt, RunView, { kind: string }> {
  const worker = new ClaimedWorker<EventBodyAt, RunView, { kind: string }>({
    kind: 'run',
    progress: 'a further checkpoint',
    queue: runQueue(store),
    store,
    config: { workers: 1, pollMs: POLL_MS, leaseTtlMs: TTL_MS, maxAttempts: 5, backoffMs: 1 },
    logger,
    openLog: (entry) => openRunLog(store, entry),
    name: ({ project, id }) => runName(project, id),
    heartbeatPrefix,
    standing: standingOf,
    place: placeOf,
    // Executions can be repeated.
    random: () => 0.5,
    claim: (view, owner) => {
      const value = { attempt: view.run.attempt + 1, worker: owner, succeeds: '', engine: Engine.NATIVE, engineReason: '' };
      return { body: { $case: 'claimed', value } };
    },
    attempt: async ({ claimed }) => {
      const mark = markOf(claimed.view);
      onAttempt({ mark, fence: claimed.standing.fence });
      for (let step = Number(claimed.view.run.step); step < 2; step++) {
        await claimed.append(() => ({ body: { $case: 'steps', value: markedStep(mark, step) } }));
        await pause(stepMs);
      }
      return { kind: 'trained' };
    },
    ended: () => ({ body: { $case: 'state', value: { state: RunState.SUCCEEDED, reason: '', released: false } } }),
    failed: (reason, forGood) => ({
      body: { $case: 'state', value: { state: forGood ? RunState.FAILED : RunState.QUEUED, reason, released: false } },
    }),
    isDeterministic: () => false,
    release: async () => {},
    onOutcome: () => {},
    onDepth: () => {},
    onActive: () => {},
  });
  worker.start();
  return worker;
}

/** The mark is the loss: whoever reads the log sees whose training the step belongs to. */
const markedStep = (mark: number, step: number): StepsRecord => StepsRecord.fromPartial({ steps: [{ step: BigInt(step), loss: mark }] });
