// What callers and operators see of scheduler, trainer and evaluator while their object store is away: every call, the health status, and the start.
import assert from 'node:assert/strict';
import http from 'node:http';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { after, describe, test } from 'node:test';
import pino from 'pino';
import { DomainError, Unavailable } from '#errors/errors.js';
import { Evaluation, EvaluationState, EvaluatorServiceClient, EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient, SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import { Run, RunState, TrainerServiceClient, TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import { HealthCheckResponse_ServingStatus, HealthClient } from '#protocol/grpc/health/v1/health.js';
import { type ClientClass, connect } from '#rpc/client.js';
import type { RunningService } from '#rpc/start-service.js';
import { toStored } from '#spec/drop-schedules.js';
import type { ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { createLogger, silentLogger } from '#telemetry/logger.js';
import { dataConfig } from '../services/data/config.js';
import { start as startData } from '../services/data/main.js';
import { Evaluations } from '../services/evaluator/api/evaluations.js';
import { evaluatorConfig } from '../services/evaluator/config.js';
import { start as startEvaluator } from '../services/evaluator/main.js';
import { schedulerConfig } from '../services/scheduler/config.js';
import { start as startScheduler } from '../services/scheduler/main.js';
import { ScheduleStore } from '../services/scheduler/schedule-store.js';
import { Runs } from '../services/trainer/api/runs.js';
import { trainerConfig } from '../services/trainer/config.js';
import { start as startTrainer } from '../services/trainer/main.js';
import { type RunningMinio, startMinio } from './support/minio.js';
import { smallDisk } from './support/small-disk.js';
import { freePort } from './support/tool.js';

const started = await startMinio();
const skip = 'skip' in started ? started.skip : false;
const minio = started as RunningMinio;
if (!skip) Object.assign(process.env, minio.env);
after(() => (skip ? undefined : minio.stop()));

const quick = ['--port', '0', '--admin-port', '0', '--health-probe-ms', '40', '--store-timeout-ms', '400'];
const api = [...quick, '--role', 'api'];
type Options = Parameters<typeof startTrainer>[1];

/** Starts each service with a store, and waits for it no longer than the signal allows. */
const services: Record<string, (store: string, argv: string[], options?: Options) => Promise<RunningService>> = {
  scheduler: (store, argv, options) => startScheduler(schedulerConfig.parse({ argv: [...quick, ...argv, '--store', store] }), options),
  trainer: (store, argv, options) => startTrainer(trainerConfig.parse({ argv: [...api, ...argv, '--store', store] }), options),
  evaluator: (store, argv, options) => startEvaluator(evaluatorConfig.parse({ argv: [...api, ...argv, '--store', store] }), options),
};

const parent = 'projects/p';
const run = `${parent}/runs/r`;
const schedule = `${parent}/schedules/s`;
const evaluation = `${parent}/evaluations/e`;
const manifest = 'ab'.repeat(32);
const dropSpec = { kind: 1, rate: 0.1, mode: 2, schedule: 2, cutoffEpoch: 5 };
const length = { epochs: 10, stepsPerEpoch: 10, depth: 0 };
const runSpec = RunSpec.fromPartial({ model: 'vit_nano_p7', trainManifest: manifest, epochs: 1, batchSize: 8, warmupEpochs: 0 });

/** A request for every method that needs the store. */
const requests: Record<string, { readonly type: unknown; readonly definition: object; readonly calls: Record<string, object> }> = {
  scheduler: {
    type: SchedulerServiceClient,
    definition: SchedulerServiceService,
    calls: {
      createSchedule: { parent, scheduleId: 's', spec: dropSpec },
      getSchedule: { name: schedule },
      listSchedules: { parent },
      updateSchedule: { name: schedule, spec: dropSpec },
      deleteSchedule: { name: schedule },
      getRates: { source: { $case: 'schedule', value: schedule }, steps: [1n], length },
      watchSchedule: { name: schedule },
    },
  },
  trainer: {
    type: TrainerServiceClient,
    definition: TrainerServiceService,
    calls: {
      createRun: { parent, runId: 'r', spec: runSpec },
      getRun: { name: run },
      getRunSeries: { name: run },
      listRuns: { parent },
      deleteRun: { name: run },
      watchRun: { name: run },
      pauseRun: { name: run },
      resumeRun: { name: run },
      cancelRun: { name: run },
      listCheckpoints: { parent: run },
      getCheckpoint: { name: `${run}/checkpoints/latest` },
    },
  },
  evaluator: {
    type: EvaluatorServiceClient,
    definition: EvaluatorServiceService,
    calls: {
      createEvaluation: { parent, evaluationId: 'e', spec: { checkpoint: `${run}/checkpoints/000000000001-abcdef01`, manifest } },
      getEvaluation: { name: evaluation },
      listEvaluations: { parent },
      cancelEvaluation: { name: evaluation },
      deleteEvaluation: { name: evaluation },
      watchEvaluation: { name: evaluation },
    },
  },
};
/** Computes from its request alone. */
const storeless = new Set(['previewSchedule']);

type AnyClient = Record<string, (request: object, extras: object) => unknown>;

/** The error of a call; undefined if it succeeds. A stream is read to its first message. */
async function errorOf(client: AnyClient, method: string, request: object): Promise<unknown> {
  try {
    const answer = client[method]!(request, { timeoutMs: 20_000, idempotent: false });
    if (answer !== null && typeof answer === 'object' && Symbol.asyncIterator in answer) {
      for await (const _ of answer as AsyncIterable<unknown>) break;
    } else await answer;
    return undefined;
  } catch (error) {
    return error;
  }
}

const watched = { schedule: 'projects/q/schedules/s', run: 'projects/q/runs/r', evaluation: 'projects/q/evaluations/e' };

/** What a watch needs: something in the store to watch, the request that changes it, and words of the message that shows the change. */
const watches: Record<
  string,
  { create: (store: ObjectStore) => Promise<unknown>; watch: string; request: object; change: string; changing: object; shows: RegExp }
> = {
  scheduler: {
    create: (store) =>
      new ScheduleStore(store).create(
        watched.schedule,
        toStored(DropScheduleSpec.fromPartial(dropSpec)),
        { requestId: '' },
        AbortSignal.timeout(20_000),
      ),
    watch: 'watchSchedule',
    request: { name: watched.schedule },
    change: 'updateSchedule',
    changing: { name: watched.schedule, spec: { ...dropSpec, rate: 0.25 } },
    shows: /"rate":0.25/,
  },
  trainer: {
    create: async (store) => {
      const runs = new Runs({ store, watchPollMs: 1000, onError: () => {} });
      const created = Run.fromPartial({ name: watched.run, state: RunState.QUEUED, spec: runSpec });
      const own = { state: RunState.QUEUED, reason: '', trainSamples: 1n, specDigest: '', requestId: '' };
      const record = { ...own, traceparent: '', tracestate: '', classes: [], dropKind: 1 };
      await runs.create('q', 'r', { ...record, run: created }, AbortSignal.timeout(20_000));
      runs.close();
    },
    watch: 'watchRun',
    request: { name: watched.run },
    change: 'cancelRun',
    changing: { name: watched.run },
    shows: /"cancelled by request"/,
  },
  evaluator: {
    create: async (store) => {
      const evaluations = new Evaluations({ store, watchPollMs: 1000, onError: () => {} });
      const spec = { checkpoint: `${watched.run}/checkpoints/c` };
      const created = Evaluation.fromPartial({ name: watched.evaluation, state: EvaluationState.PENDING, spec });
      const request = { project: 'q', id: 'e', evaluation: created, specDigest: '', requestId: '', runUid: 'ab'.repeat(16) };
      await evaluations.create(request, AbortSignal.timeout(20_000));
      evaluations.close();
    },
    watch: 'watchEvaluation',
    request: { name: watched.evaluation },
    change: 'cancelEvaluation',
    changing: { name: watched.evaluation },
    shows: /"state":5/,
  },
};

const textOf = (message: unknown): string => JSON.stringify(message, (_, value) => (typeof value === 'bigint' ? Number(value) : value));

async function waitFor(address: string, service: string, wanted: HealthCheckResponse_ServingStatus): Promise<void> {
  const health = connect(HealthClient, address);
  try {
    for await (const { status } of health.watch({ service }, { timeoutMs: 30_000 })) if (status === wanted) return;
  } finally {
    health.close();
  }
}

/** Ways in which a store can be away, and how it comes back. */
async function faults(): Promise<
  Record<string, { uri: string; away: () => Promise<void>; back: () => Promise<void>; end: () => Promise<void> }>
> {
  const door = await Door.open(minio.endpoint);
  const bucket = async (name: string): Promise<string> => await minio.createBucket(name, 'x');
  const through = (uri: string): string => uri.replace(minio.endpoint, door.endpoint);
  const nothing = async (): Promise<void> => {};
  return {
    'is frozen': {
      uri: await bucket('frozen'),
      away: async () => void minio.process.kill('SIGSTOP'),
      back: async () => void minio.process.kill('SIGCONT'),
      end: nothing,
    },
    'refuses connections': {
      uri: through(await bucket('refused')),
      away: () => door.close(),
      back: () => door.reopen('pass'),
      end: () => door.close(),
    },
    'answers 503': {
      uri: through(await bucket('busy')),
      away: () => door.reopen('busy'),
      back: () => door.reopen('pass'),
      end: () => door.close(),
    },
    'takes connections and says nothing': {
      uri: through(await bucket('mute')),
      away: () => door.reopen('mute'),
      back: () => door.reopen('pass'),
      end: () => door.close(),
    },
  };
}

/** A port in front of MinIO that can be closed, mute or busy. */
class Door {
  #server: { close(): void } | undefined;
  readonly #sockets = new Set<Socket>();

  private constructor(
    private readonly port: number,
    private readonly behind: URL,
  ) {}

  static async open(behind: string): Promise<Door> {
    const door = new Door(await freePort(), new URL(behind));
    await door.reopen('pass');
    return door;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async close(): Promise<void> {
    const server = this.#server as ReturnType<typeof createServer> | undefined;
    this.#server = undefined;
    const closed = server && new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async reopen(how: 'pass' | 'mute' | 'busy'): Promise<void> {
    await this.close();
    const keep = (socket: Socket): Socket => {
      this.#sockets.add(socket);
      return socket.on('close', () => this.#sockets.delete(socket)).on('error', () => socket.destroy());
    };
    const pass = (socket: Socket): void => {
      keep(socket);
      if (how === 'mute') return;
      const inner = keep(connectTcp(Number(this.behind.port), this.behind.hostname));
      socket.pipe(inner).pipe(socket);
    };
    const server =
      how === 'busy' ? http.createServer((_, response) => response.writeHead(503).end()).on('connection', keep) : createServer(pass);
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
  }
}

const cases = skip ? {} : await faults();
after(async () => {
  for (const { end } of Object.values(cases)) await end();
});

for (const [service, { type, definition, calls }] of Object.entries(requests)) {
  test(`the test names every method of the ${service}`, () => {
    const methods = Object.keys(definition).filter((method) => !storeless.has(method));
    assert.deepEqual(Object.keys(calls).sort(), methods.sort());
  });

  for (const [what, { uri, away, back }] of Object.entries(cases)) {
    test(`${service}: while the store ${what}, every call is UNAVAILABLE with RetryInfo and the health is NOT_SERVING`, async (t) => {
      await back();
      const running = await services[service]!(uri, [], { logger: silentLogger(), processMetrics: false });
      t.after(() => running.close());
      t.after(back);
      const address = `127.0.0.1:${running.port}`;
      const client = connect(type as ClientClass<object>, address, { retry: { attempts: 1 } }) as unknown as AnyClient & { close(): void };
      t.after(() => client.close());
      const name = String((Object.values(definition)[0] as { path: string }).path).split('/')[1]!;
      await waitFor(address, name, HealthCheckResponse_ServingStatus.SERVING);
      await away();
      await Promise.all(
        Object.entries(calls).map(async ([method, request]) => {
          const error = await errorOf(client, method, request);
          assert.ok(error instanceof Unavailable && error.retryAfterMs > 0, `${method}: ${error}`);
        }),
      );
      await waitFor(address, name, HealthCheckResponse_ServingStatus.NOT_SERVING);
      await waitFor(address, '', HealthCheckResponse_ServingStatus.NOT_SERVING);
      assert.match(await running.registry.metrics(), /^dropstream_store_away 1$/m);
      await back();
      await waitFor(address, name, HealthCheckResponse_ServingStatus.SERVING);
      assert.match(await running.registry.metrics(), /^dropstream_store_away 0$/m);
      for (const [method, request] of Object.entries(calls)) {
        const error = await errorOf(client, method, request);
        assert.ok(error === undefined || (error instanceof DomainError && !(error instanceof Unavailable)), `${method}: ${error}`);
      }
    });
  }
}

for (const [service, { create, watch, request, change, changing, shows }] of Object.entries(watches)) {
  for (const [what, { uri, away, back }] of Object.entries(cases)) {
    test(`${service}: a watch that is open while the store ${what} goes on afterwards; a new one is UNAVAILABLE`, async (t) => {
      t.after(back);
      await back();
      const store = await openStore(uri);
      t.after(() => store.close());
      await create(store);
      const running = await services[service]!(uri, [], { logger: silentLogger(), processMetrics: false });
      t.after(() => running.close());
      const { type, definition } = requests[service]!;
      const address = `127.0.0.1:${running.port}`;
      const client = connect(type as ClientClass<object>, address, { retry: { attempts: 1 } }) as unknown as AnyClient & { close(): void };
      t.after(() => client.close());
      const name = String((Object.values(definition)[0] as { path: string }).path).split('/')[1]!;
      const ending = new AbortController();
      t.after(() => ending.abort());
      const open = client[watch]!(request, { timeoutMs: 60_000, signal: ending.signal }) as AsyncIterable<unknown>;
      const messages = open[Symbol.asyncIterator]();
      assert.equal((await messages.next()).done, false);
      let isPending = true;
      const next = messages.next().finally(() => {
        isPending = false;
      });
      next.catch(() => {});
      await waitFor(address, name, HealthCheckResponse_ServingStatus.SERVING);
      await away();
      await waitFor(address, name, HealthCheckResponse_ServingStatus.NOT_SERVING);
      const others = Array.from({ length: 3 }, () => errorOf(client, watch, request));
      for (const error of await Promise.all(others)) assert.ok(error instanceof Unavailable && error.retryAfterMs > 0, String(error));
      assert.ok(isPending, 'the open watch neither ends nor fails');
      await back();
      await waitFor(address, name, HealthCheckResponse_ServingStatus.SERVING);
      await client[change]!(changing, { timeoutMs: 20_000 });
      assert.match(textOf((await next).value), shows);
    });
  }
}

describe('a store that is away at the start is waited for', () => {
  const readiness = async (port: number): Promise<number> => (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
  const starts: typeof services = {
    ...services,
    data: (store, argv, options) => {
      const own = ['--port', '0', '--admin-port', '0', '--root', import.meta.dirname];
      return startData(dataConfig.parse({ argv: [...own, ...argv, '--store', store] }), options);
    },
  };
  for (const [what, { uri, away, back }] of Object.entries(cases)) {
    for (const [service, start] of Object.entries(starts)) {
      if (what === 'is frozen' && service !== 'trainer') continue; // Takes as long as one attempt to open a store may.
      if (what === 'takes connections and says nothing') continue; // As above.
      test(`${service}, while the store ${what}`, { timeout: 120_000 }, async (t) => {
        t.after(back);
        await away();
        const lines: string[] = [];
        let waits = (): void => {};
        const waiting = new Promise<void>((resolve) => {
          waits = resolve;
        });
        const logger = pino(
          {},
          {
            write: (line: string) => {
              lines.push(line);
              if (line.includes('waiting for it')) waits();
            },
          },
        );
        const adminPort = await freePort();
        const starting = start(uri, ['--admin-port', String(adminPort)], { logger, processMetrics: false });
        await waiting;
        assert.equal(await readiness(adminPort), 503);
        await back();
        const running = await starting;
        t.after(() => running.close());
        assert.equal(await readiness(adminPort), 200);
        assert.ok(lines.some((line) => line.includes('the object store answers')));
      });
    }
  }

  test('the waiting ends with its signal', { skip }, async (t) => {
    const ending = new AbortController();
    t.after(cases['refuses connections']!.back);
    await cases['refuses connections']!.away();
    const starting = services.scheduler!(cases['refuses connections']!.uri, [], {
      logger: silentLogger(),
      processMetrics: false,
      signal: ending.signal,
    });
    ending.abort(new Error('enough'));
    await assert.rejects(starting, /enough/);
  });
});

test('a full disk: writing calls are UNAVAILABLE with words that do not name the folder, which the log does, reading ones work, and room ends it', async (t) => {
  const disk = await smallDisk(64 << 10);
  if ('skip' in disk) return t.skip(disk.skip);
  t.after(() => disk.remove());
  const lines: string[] = [];
  const logger = createLogger({ service: 'scheduler', level: 'info', destination: { write: (line) => void lines.push(line) } });
  const running = await services.scheduler!(disk.folder, [], { logger, processMetrics: false });
  t.after(() => running.close());
  const client = connect(SchedulerServiceClient, `127.0.0.1:${running.port}`, { retry: { attempts: 1 } });
  t.after(() => client.close());
  const call = { timeoutMs: 20_000 };
  let stored = 0;
  const create = async () => {
    await client.createSchedule({ parent, scheduleId: `s${stored}`, spec: dropSpec }, call);
    stored++;
  };
  const isFull = (error: unknown) =>
    error instanceof Unavailable &&
    error.retryAfterMs > 0 &&
    / has no room left /.test(error.message) &&
    !error.message.includes(disk.folder);
  await assert.rejects(async () => {
    for (;;) await create();
  }, isFull);
  assert.ok(lines.some((line) => line.includes('has no room left') && line.includes(disk.folder)));
  assert.ok(stored > 0);
  assert.equal((await client.getSchedule({ name: `${parent}/schedules/s0` }, call)).schedule!.name, `${parent}/schedules/s0`);
  assert.equal((await client.listSchedules({ parent, pageSize: 1000 }, call)).schedules.length, stored);
  await waitFor(`127.0.0.1:${running.port}`, '', HealthCheckResponse_ServingStatus.SERVING);
  await disk.resize(1 << 20);
  await create();
});
