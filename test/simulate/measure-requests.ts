/** How many requests the shipped code makes of the store: counted on a directory store, with real logs, workers and scaler, at two lengths of the queue. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { CreatedRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { silentLogger } from '#telemetry/logger.js';
import { ClaimedLog } from '#work/claimed-log.js';
import { Incarnations } from '#work/incarnations.js';
import { Runs } from '../../services/trainer/api/runs.js';
import { createTrainerMetrics } from '../../services/trainer/metrics.js';
import { heartbeatPrefix, openRunLog, runName, standingOf } from '../../services/trainer/run/run-log.js';
import { createRunWorker } from '../../services/trainer/worker/run-worker.js';

export interface MeasuredRequests {
  /** Of one look at the queue: without entries, and for each entry. A look lists 1,000 entries with one request. */
  readonly look: { readonly fixed: number; readonly perEntry: number };
  /** Of one poll of the owner of a run. */
  readonly ownerPoll: number;
  /** Of one answer of the scaler, when all that it has kept is too old: without entries, and for each. */
  readonly scaler: { readonly fixed: number; readonly perEntry: number };
}

/** Calls of a store by operation and key. */
function counting(store: ObjectStore): { store: ObjectStore; calls: Map<string, number>; total(): number } {
  const calls = new Map<string, number>();
  const counted = new Proxy(store, {
    get(target, property) {
      const value = Reflect.get(target, property) as unknown;
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const name = `${String(property)} ${String(args[0])}`;
        calls.set(name, (calls.get(name) ?? 0) + 1);
        return (value as (...of: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  return { store: counted, calls, total: () => [...calls.values()].reduce((sum, count) => sum + count, 0) };
}

const lengths = [10, 40] as const;
const signal = new AbortController().signal;

export async function measureRequests(): Promise<MeasuredRequests> {
  const [short, long] = [await measureAt(lengths[0]), await measureAt(lengths[1])];
  // Whole numbers: what is counted besides belongs to a look that had begun or not ended.
  const line = (a: number, b: number) => {
    const perEntry = Math.round((b - a) / (lengths[1] - lengths[0]));
    return { perEntry, fixed: Math.max(1, Math.round(a - perEntry * lengths[0])) };
  };
  return { look: line(short.look, long.look), ownerPoll: long.ownerPoll, scaler: line(short.scaler, long.scaler) };
}

async function measureAt(entries: number): Promise<{ look: number; ownerPoll: number; scaler: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'requests-'));
  const real = await openStore(folder);
  try {
    const writer = new Runs({ store: real, watchPollMs: 1000, onError: () => {} });
    for (let k = 0; k < entries; k++) await writer.create('p', `r${k}`, created(`r${k}`), signal);
    writer.close();
    return { look: await ofLook(real), ownerPoll: await ofOwner(real), scaler: await ofScaler(real) };
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

/** A worker that may claim nothing looks again and again, after a first look that reads all logs from their beginning. */
async function ofLook(real: ObjectStore): Promise<number> {
  const { store, calls, total } = counting(real);
  let looks = 0;
  const worker = createRunWorker({
    store,
    config: {
      data: [],
      workers: 1,
      pollMs: 20,
      leaseTtlMs: 15_000,
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
  const looksSoFar = (): number => [...calls].reduce((sum, [name, count]) => sum + (/^list .*run-queue/.test(name) ? count : 0), 0);
  worker.start();
  while (looksSoFar() < 4) await delay(10);
  const [before, from] = [total(), looksSoFar()];
  while (looks < 20) {
    await delay(10);
    looks = looksSoFar() - from;
  }
  const made = total() - before;
  await worker.stop();
  return made / looks;
}

async function ofOwner(real: ObjectStore): Promise<number> {
  const runs = new Runs({ store: real, watchPollMs: 1000, onError: () => {} });
  const { uid } = (await runs.get('p', 'r0', signal)).run;
  runs.close();
  const key = { project: 'p', id: 'r0', uid };
  const { store, calls, total } = counting(real);
  const log = openRunLog(store, key);
  await log.refresh(signal);
  const view = await log.append(
    (now) => now && { body: { $case: 'claimed', value: { attempt: 1, worker: 'w:1', succeeds: '', engine: 0 } } as never },
  );
  const claimed = await ClaimedLog.start({
    ...{
      work: runName('p', 'r0'),
      uid,
      incarnations: new Incarnations(store),
      log,
      fence: standingOf(view!).fence,
      standing: standingOf,
      store,
    },
    ...{ heartbeatPrefix: heartbeatPrefix(key), owner: 'w:1', ttlMs: 600_000, pollMs: 20, onHeartbeatLost: () => {} },
  });
  await delay(300);
  calls.clear();
  while (Math.max(0, ...calls.values()) < 20) await delay(20);
  // Each poll asks for the same keys.
  const perPoll = total() / Math.max(...calls.values());
  await claimed.append(() => ({ body: { $case: 'state', value: { state: RunState.QUEUED, reason: 'measured', released: true } } }));
  await claimed.stop();
  return Math.round(perPoll);
}

async function ofScaler(real: ObjectStore): Promise<number> {
  const { store, calls, total } = counting(real);
  const runs = new Runs({ store, watchPollMs: 1000, onError: () => {} });
  await runs.wanting(signal);
  await delay(2500);
  calls.clear();
  await runs.wanting(signal);
  runs.close();
  return total();
}
