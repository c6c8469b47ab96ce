/** How many requests the shipped code makes of the store: counted on a directory store, with real logs, workers and scaler, at two lengths of the queue. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { ClaimedRecord, CreatedRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { silentLogger } from '#telemetry/logger.js';
import { ClaimHints } from '#work/claim-hints.js';
import { ClaimedLog } from '#work/claimed-log.js';
import { Incarnations } from '#work/incarnations.js';
import { QueueTouch } from '#work/queue-touch.js';
import { Runs } from '../../services/trainer/api/runs.js';
import { createTrainerMetrics } from '../../services/trainer/metrics.js';
import {
  type EventBodyAt,
  heartbeatPrefix,
  openRunLog,
  placeOf,
  runName,
  runQueue,
  standingOf,
} from '../../services/trainer/run/run-log.js';
import type { RunView } from '../../services/trainer/run/run-state.js';
import { createRunWorker } from '../../services/trainer/worker/run-worker.js';
import { notedStore } from '../support/noted-store.js';

export interface MeasuredRequests {
  /** Of one look at the queue, with a free slot, while nothing waits: without entries, and for each run that others train. */
  readonly look: PerEntry;
  /** Of one look while runs wait that it may not claim: without entries, and for each that waits, until it has read as many as a look reads. */
  readonly waiting: PerEntry & { readonly most: number };
  /** Of one sweep, beside its look: without entries, and for each run that others train. */
  readonly sweep: PerEntry;
  /** Of the owner of a run, to show others that it is alive, in each third of a TTL. */
  readonly signsOfLife: number;
  /** Of one poll of the owner of a run. */
  readonly ownerPoll: number;
  /** Of one answer of the scaler, when all that it has kept is too old: without entries, and for each. */
  readonly scaler: PerEntry;
}

/** A listing shows 1,000 entries with one request, and counts as one here. */
export interface PerEntry {
  readonly fixed: number;
  readonly perEntry: number;
}

const lengths = [10, 40] as const;
const signal = new AbortController().signal;

export async function measureRequests(): Promise<MeasuredRequests> {
  const [short, long] = [await measureAt(lengths[0]), await measureAt(lengths[1])];
  // Whole numbers: what is counted besides belongs to a look that had begun or not ended.
  const line = (a: number, b: number): PerEntry => {
    const perEntry = Math.round((b - a) / (lengths[1] - lengths[0]));
    return { perEntry, fixed: Math.max(1, Math.round(a - perEntry * lengths[0])) };
  };
  return {
    look: line(short.look, long.look),
    // A look reads fewer than the longer queue has.
    waiting: { ...line(short.waiting, short.waiting + (lengths[1] - lengths[0])), most: Math.round(long.waiting) },
    sweep: line(short.sweep, long.sweep),
    signsOfLife: long.signsOfLife,
    ownerPoll: long.ownerPoll,
    scaler: line(short.scaler, long.scaler),
  };
}

type Measured = Record<'look' | 'waiting' | 'sweep' | 'signsOfLife' | 'ownerPoll' | 'scaler', number>;

async function measureAt(entries: number): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'requests-'));
  const real = await openStore(folder);
  try {
    const writer = new Runs({ store: real, watchPollMs: 1000, onError: () => {} });
    for (let k = 0; k < entries; k++) await writer.create('p', `r${k}`, created(`r${k}`), signal);
    writer.close();
    const scaler = await ofScaler(real);
    // A quota of no workers keeps it from claiming any.
    const waiting = await ofLook(real, 'looks');
    const owner = await ofOwner(real);
    const others = await owned(real, entries);
    const [look, sweep] = [await ofLook(real, 'looks'), await ofLook(real, 'sweeps')];
    await Promise.all(others.map((touch) => touch.stop()));
    return { look, waiting, sweep, ...owner, scaler };
  } finally {
    await real.close();
    await rm(folder, { recursive: true, force: true });
  }
}

const created = (id: string): CreatedRecord =>
  CreatedRecord.fromPartial({
    ...{ state: RunState.QUEUED, trainSamples: 1n, specDigest: 'a', requestId: 'q', dropKind: DropKind.DROPOUT },
    run: Run.fromPartial({ name: runName('p', id), state: RunState.QUEUED }),
  });

/** Claims all runs for owners that show signs of life. The caller stops them. */
async function owned(real: ObjectStore, entries: number): Promise<QueueTouch[]> {
  const queue = runQueue(real);
  const runs = new Runs({ store: real, watchPollMs: 1000, onError: () => {} });
  const touches: QueueTouch[] = [];
  for (let k = 0; k < entries; k++) {
    const { uid } = (await runs.get('p', `r${k}`, signal)).run;
    const entry = { project: 'p', id: `r${k}`, uid };
    const log = openRunLog(real, entry);
    await log.refresh(signal);
    const view = await log.append(claim);
    touches.push(QueueTouch.start({ queue, entry, fence: standingOf(view!).fence, intervalMs: 100, onError: () => {} }));
    await queue.hints.remove('claim', entry, placeOf(view!));
  }
  runs.close();
  await delay(200);
  return touches;
}

const claim = (now: RunView | undefined): EventBodyAt | undefined =>
  now && { body: { $case: 'claimed', value: ClaimedRecord.fromPartial({ attempt: 1, worker: 'w:1' }) } };

/** A worker that may claim nothing looks again and again, after looks that read all logs from their beginning. @returns requests of each */
async function ofLook(real: ObjectStore, of: 'looks' | 'sweeps'): Promise<number> {
  const noted = notedStore(real);
  const worker = createRunWorker({
    store: noted.store,
    config: {
      data: [],
      workers: 1,
      pollMs: 20,
      leaseTtlMs: of === 'sweeps' ? 400 : 600_000,
      maxAttempts: 5,
      backoffMs: 0,
      prefetch: 1,
      prefetchBytes: 1 << 20,
      dataWaitMs: 1000,
      evaluationWaitMs: 0,
      stopStepMs: 5000,
      instance: '',
      succeeds: [],
      exitWhenIdle: 0,
    },
    quotas: { weightOf: () => 1, of: () => ({ workers: 0 }) },
    ...{ evaluator: undefined, scheduler: undefined, metrics: createTrainerMetrics(new Registry()), logger: silentLogger() },
  });
  const looks = (): number => noted.count(/^list run-waiting/);
  const sweeps = (): number => noted.count(/^list run-queue/);
  const reached = async (count: () => number, number: number): Promise<void> => {
    while (count() < number) await delay(5);
  };
  worker.start();
  await reached(looks, 4);
  noted.calls.length = 0;
  await reached(of === 'sweeps' ? sweeps : looks, 40);
  // Marks are few, and by chance.
  const made = noted.calls.length - noted.count(/\/looked$/);
  const each = of === 'sweeps' ? (made - looks()) / sweeps() : made / looks();
  await worker.stop();
  return each;
}

async function ofOwner(real: ObjectStore): Promise<{ ownerPoll: number; signsOfLife: number }> {
  const runs = new Runs({ store: real, watchPollMs: 1000, onError: () => {} });
  const { uid } = (await runs.get('p', 'r0', signal)).run;
  runs.close();
  const key = { project: 'p', id: 'r0', uid };
  const { store, calls, count } = notedStore(real);
  const log = openRunLog(store, key);
  await log.refresh(signal);
  const view = await log.append(claim);
  const { fence } = standingOf(view!);
  const [ttlMs, owner] = [3000, 'w:1'];
  const hints = ClaimHints.start({
    queue: runQueue(store),
    entry: key,
    place: placeOf(view!),
    fence,
    intervalMs: ttlMs / 3,
    onError: () => {},
  });
  const claimed = await ClaimedLog.start({
    ...{ work: runName('p', 'r0'), uid, incarnations: new Incarnations(store), log, fence, standing: standingOf, store },
    ...{ heartbeatPrefix: heartbeatPrefix(key), owner, ttlMs, pollMs: 20, onHeartbeatLost: () => {} },
  });
  await delay(300);
  calls.length = 0;
  const signs = (): number => count(/heartbeats|^put run-queue/);
  const polls = (): number => Math.max(count(/^list .*\/log/), count(/incarnations/));
  while (count(/heartbeats/) < 3) await delay(20);
  const found = { ownerPoll: Math.round((calls.length - signs()) / polls()), signsOfLife: Math.round(signs() / 3) };
  await claimed.append(() => ({ body: { $case: 'state', value: { state: RunState.QUEUED, reason: 'measured', released: true } } }));
  await Promise.all([claimed.stop(), hints.stop()]);
  await hints.leave(claimed.standing, async () => undefined);
  return found;
}

async function ofScaler(real: ObjectStore): Promise<number> {
  const { store, calls } = notedStore(real);
  const runs = new Runs({ store, watchPollMs: 1000, onError: () => {} });
  await runs.wanting(signal);
  await delay(2500);
  calls.length = 0;
  await runs.wanting(signal);
  runs.close();
  return calls.length;
}
