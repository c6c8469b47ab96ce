// The whole service through real gRPC on free ports, over a directory store.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import fc from 'fast-check';
import * as errors from '#errors/errors.js';
import { DropKind, DropMode, DropSchedule, type DropScheduleSpec, SegmentFormula } from '#protocol/dropstream/v1/schedule_types.js';
import { type Schedule, SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { projectKey } from '#rpc/authorize.js';
import { type ConnectOptions, connect } from '#rpc/client.js';
import type { RunningService } from '#rpc/start-service.js';
import { type Segment, valueAt } from '#schedule/index.js';
import { silentLogger } from '#telemetry/logger.js';
import { schedulerConfig } from './config.js';
import { start } from './main.js';

const folders: string[] = [];
const open: { close(): unknown }[] = [];
let store: string;
let server: RunningService;
let client: ReturnType<typeof dial>;

async function replica(argv: string[] = []): Promise<RunningService> {
  const config = schedulerConfig.parse({ argv: ['--port', '0', '--admin-port', '0', '--store', store, '--watch-poll-ms', '20', ...argv] });
  const running = await start(config, { logger: silentLogger(), processMetrics: false });
  open.push(running);
  return running;
}

function dial(to: RunningService, options: ConnectOptions = {}) {
  const c = connect(SchedulerServiceClient, `127.0.0.1:${to.port}`, { retry: { attempts: 1 }, ...options });
  open.push(c);
  return c;
}

beforeEach(async () => {
  store = await mkdtemp(join(tmpdir(), 'dropstream-scheduler-'));
  folders.push(store);
  server = await replica();
  client = dial(server);
});
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});
after(async () => {
  for (const folder of folders) await rm(folder, { recursive: true });
});

const t = { timeoutMs: 10_000 };
const parent = 'projects/p';
const name = 'projects/p/schedules/early';
const early: DropScheduleSpec = {
  kind: DropKind.DROP_PATH,
  rate: 0.5,
  mode: DropMode.EARLY,
  schedule: DropSchedule.LINEAR,
  cutoffEpoch: 2,
};
const length = { epochs: 4, stepsPerEpoch: 5, depth: 3 };
const create = async (scheduleId = 'early', spec = early, requestId = ''): Promise<Schedule> =>
  (await client.createSchedule({ parent, scheduleId, spec, requestId }, t)).schedule!;

async function refused(call: Promise<unknown>, ...fields: string[]): Promise<errors.InvalidArgument> {
  let caught: unknown;
  await call.catch((error) => {
    caught = error;
  });
  assert.ok(caught instanceof errors.InvalidArgument, `refused with ${caught}`);
  assert.deepEqual(
    caught.violations.map((v) => v.field),
    fields,
  );
  for (const { allowed } of caught.violations) assert.ok(allowed.length > 0);
  return caught;
}

test('create, get, update, list and delete', async () => {
  const first = await create();
  assert.equal(first.name, name);
  assert.equal(first.revision, 1n);
  assert.deepEqual(first.spec, early);
  assert.ok(first.createTime instanceof Date);
  assert.deepEqual((await client.getSchedule({ name }, t)).schedule, first);
  assert.deepEqual((await dial(await replica()).getSchedule({ name }, t)).schedule, first, 'with the same etag, read from the store');

  const { schedule: second } = await client.updateSchedule(
    { name, spec: { ...early, rate: 0.25, cutoffEpoch: 9 }, updateMask: ['rate'], etag: first.etag },
    t,
  );
  assert.equal(second!.revision, 2n);
  assert.deepEqual(second!.spec, { ...early, rate: 0.25 }, 'only the masked field');
  assert.notEqual(second!.etag, first.etag);
  assert.deepEqual((await client.getSchedule({ name, revision: 1n }, t)).schedule, first, 'revisions are immutable');
  assert.deepEqual((await client.getSchedule({ name }, t)).schedule, second);

  await create('a-b');
  await create('a');
  assert.deepEqual(
    (await client.listSchedules({ parent }, t)).schedules.map((s) => s.name.split('/').at(-1)),
    ['a', 'a-b', 'early'],
  );
  assert.deepEqual((await client.listSchedules({ parent: 'projects/q' }, t)).schedules, []);

  await client.deleteSchedule({ name, etag: second!.etag }, t);
  await assert.rejects(
    client.getSchedule({ name }, t),
    (e) => e instanceof errors.NotFound && e.kind === 'schedule' && e.resource === name,
  );
  await assert.rejects(client.getSchedule({ name, revision: 1n }, t), errors.NotFound);
  await assert.rejects(client.updateSchedule({ name, spec: early }, t), errors.NotFound);
  await assert.rejects(client.deleteSchedule({ name }, t), errors.NotFound);
  assert.equal((await client.listSchedules({ parent }, t)).schedules.length, 2);
  assert.equal((await create()).revision, 4n, 'a name created again goes on counting');
});

test('unspecified values are stored as what they stand for', async () => {
  const { spec } = await create('plain', { kind: 0, rate: 0.1, mode: 0, schedule: 0, cutoffEpoch: 0 });
  assert.deepEqual(spec, { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT, cutoffEpoch: 0 });
});

test('a repeated request id gives the same answer, with another spec ALREADY_EXISTS', async () => {
  const first = await create('early', early, 'request-1');
  assert.deepEqual(await create('early', early, 'request-1'), first);
  await assert.rejects(
    create('early', { ...early, rate: 0.1 }, 'request-1'),
    (e) => e instanceof errors.AlreadyExists && /with the request id request-1 and another spec$/.test(e.why),
  );
  await assert.rejects(
    create('early', early, 'request-2'),
    (e) => e instanceof errors.AlreadyExists && /created at 20.* with another request id and the same spec$/.test(e.why),
  );
  await assert.rejects(create('early', early), errors.AlreadyExists);
  await client.updateSchedule({ name, spec: { ...early, rate: 0.1 } }, t);
  assert.deepEqual(await create('early', early, 'request-1'), first, 'also after an update');
  assert.deepEqual((await client.getSchedule({ name }, t)).schedule!.revision, 2n);
});

test('a stale etag is ABORTED; of many writers in two replicas one wins', async () => {
  const { etag } = await create();
  const other = dial(await replica());
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) => (i % 2 ? client : other).updateSchedule({ name, spec: { ...early, rate: i / 100 }, etag }, t)),
  );
  assert.equal(outcomes.filter((o) => o.status === 'fulfilled').length, 1);
  for (const o of outcomes) if (o.status === 'rejected') assert.ok(o.reason instanceof errors.Aborted, String(o.reason));
  await assert.rejects(client.deleteSchedule({ name, etag }, t), (e) => e instanceof errors.Aborted && e.resource === name);
  assert.equal((await other.getSchedule({ name }, t)).schedule!.revision, 2n);

  const creates = await Promise.allSettled(
    [client, other].flatMap((c) => [1, 2, 3].map(() => c.createSchedule({ parent, scheduleId: 'new', spec: early }, t))),
  );
  assert.equal(creates.filter((o) => o.status === 'fulfilled').length, 1);
  for (const o of creates) if (o.status === 'rejected') assert.ok(o.reason instanceof errors.AlreadyExists, String(o.reason));
});

test('pages cover a project once; tokens of other lists are refused', async () => {
  const ids = ['a', 'b', 'c', 'd', 'e'];
  for (const id of ids) await create(id);
  await client.deleteSchedule({ name: `${parent}/schedules/c` }, t);
  const seen: string[] = [];
  let pageToken = '';
  let firstToken = '';
  do {
    const page = await client.listSchedules({ parent, pageSize: 2, pageToken }, t);
    assert.ok(page.schedules.length <= 2);
    seen.push(...page.schedules.map((s) => s.name.split('/').at(-1)!));
    pageToken = page.nextPageToken;
    firstToken ||= pageToken;
  } while (pageToken !== '');
  assert.deepEqual(seen, ['a', 'b', 'd', 'e']);
  await refused(client.listSchedules({ parent: 'projects/q', pageToken: firstToken }, t), 'page_token');
  await refused(client.listSchedules({ parent, pageToken: 'x' }, t), 'page_token');
  await refused(client.listSchedules({ parent, pageSize: -1 }, t), 'page_size');
  await refused(client.listSchedules({ parent: 'p' }, t), 'parent');
});

test('a preview is complete: its segments reproduce every rate exactly', async () => {
  const { segments, samples } = await client.previewSchedule({ spec: early, length, samples: 20 }, t);
  assert.deepEqual(segments, [
    { start: 0n, end: 10n, formula: SegmentFormula.LINEAR_TO_ZERO, startValue: 0.5, endValue: 0 },
    { start: 10n, end: 20n, formula: SegmentFormula.CONSTANT, startValue: 0, endValue: 0 },
  ]);
  assert.deepEqual(
    samples.map((s) => Number(s.step)),
    Array.from({ length: 20 }, (_, i) => i),
  );
  const formulas: Record<number, Segment['formula']> = {
    [SegmentFormula.CONSTANT]: 'constant',
    [SegmentFormula.LINEAR_TO_ZERO]: 'linear_to_zero',
  };
  for (const { step, rate, blockRates } of samples) {
    const s = segments.find((x) => step >= x.start && step < x.end)!;
    assert.equal(rate, valueAt({ ...s, start: Number(s.start), end: Number(s.end), formula: formulas[s.formula]! }, Number(step)));
    assert.deepEqual(blockRates, [0, rate / 2, rate]);
  }
  assert.deepEqual(
    (await client.previewSchedule({ spec: early, length, samples: 3 }, t)).samples.map((s) => s.step),
    [0n, 9n, 19n],
  );
  assert.deepEqual((await client.previewSchedule({ spec: early, length }, t)).samples, []);

  const long = { epochs: 100_000, stepsPerEpoch: 100_000_000, depth: 0 };
  const huge = await client.previewSchedule({ spec: early, length: long, samples: 2 }, t);
  assert.deepEqual(
    huge.samples.map((s) => s.step),
    [0n, 9_999_999_999_999n],
  );
});

test('the largest answers fit into the 4 MiB that clients of gRPC accept by default; longer ones are refused', async () => {
  const plain = dial(server, { maxReceiveBytes: 4 << 20 });
  const last = 100_000 * 100_000_000 - 1;
  const source = { $case: 'spec', value: early } as const;
  for (const depth of [0, 1, 46, 47, 200, 1000]) {
    const long = { epochs: 100_000, stepsPerEpoch: 100_000_000, depth };
    const most = Math.min(10_000, Math.floor(500_000 / (depth + 4)));
    const steps = Array.from({ length: most + 1 }, (_, k) => BigInt(last - k));
    const { rates } = await plain.getRates({ source, length: long, steps: steps.slice(1) }, t);
    assert.equal(rates.length, most);
    assert.equal(rates.at(-1)!.blockRates.length, depth);
    await refused(plain.getRates({ source, length: long, steps }, t), 'steps');
    assert.equal((await plain.previewSchedule({ spec: early, length: long, samples: most }, t)).samples.length, most);
    await refused(plain.previewSchedule({ spec: early, length: long, samples: most + 1 }, t), 'samples');
  }
});

test('rates of a stored schedule, of one revision, and of an inline spec', async () => {
  await create();
  await client.updateSchedule({ name, spec: { ...early, kind: DropKind.DROPOUT, schedule: DropSchedule.CONSTANT } }, t);
  const steps = [9n, 0n, 10n];
  const newest = await client.getRates({ source: { $case: 'schedule', value: name }, length, steps }, t);
  assert.equal(newest.revision, 2n);
  assert.deepEqual(newest.rates, [
    { step: 9n, rate: 0.5, blockRates: [0.5, 0.5, 0.5] },
    { step: 0n, rate: 0.5, blockRates: [0.5, 0.5, 0.5] },
    { step: 10n, rate: 0, blockRates: [0, 0, 0] },
  ]);
  const first = await client.getRates({ source: { $case: 'schedule', value: name }, revision: 1n, length, steps }, t);
  assert.equal(first.revision, 1n);
  assert.deepEqual(
    first.rates.map((r) => r.rate),
    [0, 0.5, 0],
  );
  const inline = await client.getRates({ source: { $case: 'spec', value: early }, length: { ...length, depth: 0 }, steps }, t);
  assert.deepEqual(
    inline.rates.map((r) => [r.rate, r.blockRates]),
    [
      [0, []],
      [0.5, []],
      [0, []],
    ],
  );
  assert.equal(inline.revision, 0n);
  await refused(
    client.getRates({ source: { $case: 'schedule', value: name }, length: { ...length, epochs: 1 }, steps: [0n] }, t),
    'schedule.cutoff_epoch',
  );
});

test('a watch sees every revision once, in order, from its cursor on, of any replica', async () => {
  await create();
  const other = dial(await replica());
  const controller = new AbortController();
  const seen: [bigint, boolean][] = [];
  const watching = (async () => {
    for await (const { schedule } of client.watchSchedule({ name }, { signal: controller.signal })) {
      seen.push([schedule!.revision, schedule!.deleted]);
      if (seen.length === 5) return;
    }
  })();
  for (let i = 0; i < 3; i++) await (i % 2 ? client : other).updateSchedule({ name, spec: { ...early, rate: i / 10 } }, t);
  await other.deleteSchedule({ name }, t);
  await watching;
  assert.deepEqual(seen, [
    [1n, false],
    [2n, false],
    [3n, false],
    [4n, false],
    [5n, true],
  ]);

  const resumed = client.watchSchedule({ name, afterRevision: 3n }, t)[Symbol.asyncIterator]();
  assert.equal((await resumed.next()).value.schedule!.revision, 4n);
  await resumed.return!();
  await refused(all(client.watchSchedule({ name, afterRevision: 6n }, t)), 'after_revision');
  await assert.rejects(all(client.watchSchedule({ name: `${parent}/schedules/none` }, t)), errors.NotFound);
});

test('watches are bounded, and end when a replica drains', async () => {
  await create();
  const small = await replica(['--max-watches', '1']);
  const c = dial(small);
  const first = c.watchSchedule({ name }, t)[Symbol.asyncIterator]();
  await first.next();
  await assert.rejects(all(c.watchSchedule({ name }, t)), errors.ResourceExhausted);
  const drained = small.drain({ delayMs: 0, graceMs: 5000 });
  await assert.rejects(async () => await first.next(), errors.Unavailable);
  await drained;
});

test('every wrong field is named at once', async () => {
  const spec = { kind: 7, rate: 1.5, mode: 9, schedule: 9, cutoffEpoch: 1 } as unknown as DropScheduleSpec;
  const e = await refused(
    client.createSchedule({ parent, scheduleId: 'Bad', spec, requestId: 'a b' }, t),
    ...['schedule_id', 'request_id', 'spec.kind', 'spec.mode', 'spec.schedule', 'spec.rate'],
  );
  assert.equal(e.violations.at(-1)!.value, '1.5');
  await refused(client.createSchedule({ parent, scheduleId: 'x' }, t), 'spec');
  for (const rate of [-0.1, 1, Number.NaN, Number.POSITIVE_INFINITY]) await refused(create('x', { ...early, rate }), 'spec.rate');
  await refused(create('x', { ...early, mode: DropMode.LATE }), 'spec.schedule');
  await refused(create('x', { ...early, cutoffEpoch: 100_001 }), 'spec.cutoff_epoch');
  await refused(client.createSchedule({ parent: 'projects/P', scheduleId: 'x' }, t), 'parent');
  await refused(client.getSchedule({ name: 'early' }, t), 'name');
  await refused(client.getSchedule({ name, revision: 10_001n }, t), 'revision');
  await refused(client.deleteSchedule({ name: `${name}/` }, t), 'name');
  await create();
  await refused(client.updateSchedule({ name, spec: early, updateMask: ['name'] }, t), 'update_mask');
  await refused(client.updateSchedule({ name, spec: { ...early, rate: 2 } }, t), 'spec.rate');
  await refused(client.updateSchedule({ name, spec: { ...early, mode: DropMode.LATE }, updateMask: ['mode'] }, t), 'spec.schedule');
  await refused(client.updateSchedule({ name }, t), 'spec');
  assert.equal((await client.getSchedule({ name }, t)).schedule!.revision, 1n, 'nothing was stored');

  await refused(client.previewSchedule({}, t), 'spec', 'length');
  await refused(client.previewSchedule({ spec: early, length: { ...length, epochs: 1 } }, t), 'spec.cutoff_epoch');
  await refused(
    client.previewSchedule({ spec: early, length: { epochs: 0, stepsPerEpoch: 0, depth: 1001 }, samples: 10_001 }, t),
    ...['length.epochs', 'length.steps_per_epoch', 'length.depth', 'samples'],
  );
  await refused(client.previewSchedule({ spec: early, length: { ...length, depth: 1000 }, samples: 10_000 }, t), 'samples');
  await refused(client.getRates({ length, steps: [] }, t), 'source', 'steps');
  await refused(
    client.getRates({ source: { $case: 'spec', value: early }, revision: 1n, length, steps: [0n, 20n] }, t),
    'revision',
    'steps[1]',
  );
  await refused(client.getRates({ source: { $case: 'schedule', value: 'x' }, length, steps: [0n] }, t), 'schedule');
  await refused(all(client.watchSchedule({ name: '' }, t)), 'name');
});

test('an update is made once for a request id; one that changes nothing stores no revision', async () => {
  const { etag } = await create();
  const update = (rate: number, requestId: string, part: object = {}) =>
    client.updateSchedule({ name, spec: { ...early, rate }, requestId, ...part }, t).then(({ schedule }) => schedule!);
  const second = await update(0.2, 'u-1', { etag });
  assert.equal(second.revision, 2n);
  assert.deepEqual(await update(0.2, 'u-1', { etag }), second, 'although its etag is stale by now');
  const third = await update(0.3, 'u-2');
  assert.deepEqual([third.revision, await update(0.2, 'u-1', { etag })], [3n, second], 'also after another one');
  await assert.rejects(update(0.4, 'u-1'), (e) => e instanceof errors.AlreadyExists && /u-1 .* stored revision 2$/.test(e.why));
  assert.deepEqual(await update(0.3, 'u-3'), third, 'the newest revision has this spec');
  assert.deepEqual(await update(0.3, ''), third);
  await assert.rejects(update(0.3, '', { etag }), errors.Aborted);
  for (let k = 0; k < 32; k++) await update(0.4 + k / 100, `many-${k}`);
  assert.equal((await update(0.2, 'u-1')).revision, 36n, 'the last 32 are remembered');
  // A schedule that is created again remembers nothing of the one before.
  await client.deleteSchedule({ name }, t);
  const again = await create('early', early, 'c');
  assert.equal((await update(0.9, 'many-31')).revision, again.revision + 1n);
});

test('updates with request ids that are sent several times at once, by several replicas, are each made once', async () => {
  await create();
  const clients = [client, dial(await replica())];
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(3), fc.nat(1)), { minLength: 1, maxLength: 8 }), async (asks) => {
      const round = randomUUID();
      const before = (await client.getSchedule({ name }, t)).schedule!.revision;
      const answers = await Promise.all(
        asks.map(async ([which, at]) => {
          const request = { name, spec: { ...early, rate: 0.1 + which / 10 }, requestId: `${round}-${which}` };
          for (;;) {
            const answer = await clients[at]!.updateSchedule(request, t).catch((e) => e as Error);
            if (!(answer instanceof errors.Aborted)) return { which, revision: (answer as { schedule: Schedule }).schedule.revision };
          }
        }),
      );
      const after = (await client.getSchedule({ name }, t)).schedule!.revision;
      assert.ok(after - before <= BigInt(new Set(asks.map(([which]) => which)).size), 'at most one revision for each');
      assert.ok(answers.every(({ revision }) => revision >= before && revision <= after));
    }),
    { numRuns: 10 },
  );
});

test('another project is PERMISSION_DENIED, a missing schedule NOT_FOUND', async () => {
  await create();
  const bound = dial(server, { metadata: { [projectKey]: 'q' } });
  await assert.rejects(bound.getSchedule({ name }, t), errors.PermissionDenied);
  await assert.rejects(all(bound.watchSchedule({ name }, t)), errors.PermissionDenied);
  await assert.rejects(bound.getSchedule({ name: 'projects/q/schedules/early' }, t), errors.NotFound);
  await assert.rejects(
    client.getSchedule({ name, revision: 2n }, t),
    (e) => e instanceof errors.NotFound && e.kind === 'schedule revision',
  );
});

test('schedules outlive the process, and a damaged record is DATA_LOSS by name', async () => {
  const { etag } = await create();
  await client.updateSchedule({ name, spec: { ...early, rate: 0.2 }, etag }, t);
  await server.close();
  const again = dial(await replica());
  assert.equal((await again.getSchedule({ name }, t)).schedule!.revision, 2n);

  const files = await readdir(store, { recursive: true });
  const file = files.find((f) => f.endsWith('000000000002.json'))!;
  await writeFile(join(store, file), '{"format":');
  const fresh = dial(await replica());
  await assert.rejects(fresh.getSchedule({ name }, t), (e) => e instanceof errors.DataLoss && e.what === file);
});

test('a schedule that is created again has another uid: watches and cursors of the first do not fit it', async () => {
  const first = await create();
  const other = dial(await replica());
  const seen: [string, bigint, boolean][] = [];
  const watching = (async () => {
    for await (const { schedule } of other.watchSchedule({ name }, t)) seen.push([schedule!.uid, schedule!.revision, schedule!.deleted]);
  })();
  await client.deleteSchedule({ name }, t);
  await watching;
  assert.deepEqual(
    seen.slice(-1).map(([uid, , deleted]) => [uid, deleted]),
    [[first.uid, true]],
    'the watch ends with the deletion',
  );
  const second = await create('early', { ...early, rate: 0.25 });
  assert.notEqual(second.uid, first.uid);
  assert.equal(second.revision, 3n);
  await assert.rejects(client.updateSchedule({ name, spec: early, etag: first.etag }, t), errors.Aborted);
  await assert.rejects(client.deleteSchedule({ name, etag: first.etag }, t), errors.Aborted);
  await assert.rejects(all(client.watchSchedule({ name, uid: first.uid, afterRevision: 1n }, t)), errors.NotFound);
  const watch = client.watchSchedule({ name, uid: second.uid, afterRevision: 1n }, t)[Symbol.asyncIterator]();
  assert.deepEqual((await watch.next()).value.schedule, second);
  await watch.return!();
  await assert.rejects(client.getSchedule({ name, revision: 1n }, t), errors.NotFound, 'a revision of the first schedule');
  assert.deepEqual((await readdir(join(store, name))).sort(), [second.uid, 'incarnations'].sort(), 'what was deleted is gone');
});

test('a deletion that died before its tombstone is finished by the next create', async () => {
  const first = await create();
  await client.deleteSchedule({ name }, t);
  await rm(join(store, name, 'incarnations', '00000002.json'));
  const fresh = dial(await replica());
  await assert.rejects(fresh.getSchedule({ name }, t), errors.NotFound);
  await assert.rejects(fresh.deleteSchedule({ name }, t), errors.NotFound);
  assert.deepEqual((await fresh.listSchedules({ parent }, t)).schedules, []);
  const { schedule } = await fresh.createSchedule({ parent, scheduleId: 'early', spec: early }, t);
  assert.notEqual(schedule!.uid, first.uid);
  assert.equal(schedule!.revision, 3n);
});

test('a missing revision is DATA_LOSS at every look, and its number is not given out', async () => {
  for (const [k, lost] of ['1', '2', '3'].entries()) {
    const scheduleId = `holed-${k}`;
    const holed = `${parent}/schedules/${scheduleId}`;
    const { uid } = await create(scheduleId);
    for (const rate of [0.1, 0.2]) await client.updateSchedule({ name: holed, spec: { ...early, rate } }, t);
    await rm(join(store, holed, uid, 'revisions', `${lost.padStart(12, '0')}.json`));
    const fresh = dial(await replica());
    for (let look = 1; look <= 3; look++) {
      await assert.rejects(fresh.getSchedule({ name: holed }, t), errors.DataLoss);
      await assert.rejects(fresh.updateSchedule({ name: holed, spec: early }, t), errors.DataLoss);
      await assert.rejects(fresh.createSchedule({ parent, scheduleId, spec: early }, t), errors.DataLoss);
    }
    const left = (await readdir(join(store, holed, uid, 'revisions'))).filter((file) => file.endsWith('.json'));
    assert.equal(left.length, 2);
  }
});

test('schedules of version 0.1 are named with what to do, hide no others, and can be deleted', async () => {
  const old = join(store, 'projects/p/schedules/old/revisions');
  await mkdir(old, { recursive: true });
  await writeFile(join(old, '000000000001.json'), '{"format":"dropstream.schedule-revision/1"}\n');
  await create();
  const { schedules, unreadable } = await client.listSchedules({ parent }, t);
  assert.deepEqual(
    schedules.map((schedule) => schedule.name),
    [name],
  );
  assert.equal(unreadable[0]!.name, `${parent}/schedules/old`);
  assert.match(unreadable[0]!.reason, /version 0\.1.*or delete it/);
  const refused = (e: unknown) => e instanceof errors.FailedPrecondition && /version 0\.1/.test(e.message);
  await assert.rejects(client.getSchedule({ name: `${parent}/schedules/old` }, t), refused);
  await assert.rejects(create('old'), refused);
  assert.equal((await readdir(old)).length, 1, 'nothing was changed');
  await client.deleteSchedule({ name: `${parent}/schedules/old` }, t);
  assert.equal((await create('old')).revision, 1n);
});

test('reflection lists the service with health; the admin port answers; series count', async () => {
  await create();
  const reflectionProto = join(import.meta.dirname, '../../node_modules/@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto');
  const { grpc } = loadPackageDefinition(loadSync(reflectionProto)) as never as {
    grpc: { reflection: { v1: { ServerReflection: new (...a: unknown[]) => never } } };
  };
  const reflection = new grpc.reflection.v1.ServerReflection(`127.0.0.1:${server.port}`, credentials.createInsecure()) as unknown as {
    serverReflectionInfo(): NodeJS.ReadWriteStream & { write(q: object): void };
    close(): void;
  };
  open.push(reflection);
  const call = reflection.serverReflectionInfo();
  const answers: string[] = [];
  const done = new Promise((resolve, reject) => call.on('end', resolve).on('error', reject));
  call.on('data', (r) => answers.push(JSON.stringify(r)));
  call.write({ listServices: '*' });
  call.write({ fileContainingSymbol: 'dropstream.v1.SchedulerService' });
  call.end();
  await done;
  assert.match(answers[0]!, /dropstream\.v1\.SchedulerService/);
  assert.match(answers[0]!, /grpc\.health\.v1\.Health/);
  assert.doesNotMatch(answers[0]!, /TrainerService/);
  assert.match(answers[1]!, /fileDescriptorProto/);

  const get = async (path: string): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${server.adminPort}${path}`);
    return [response.status, await response.text()];
  };
  assert.equal((await get('/livez'))[0], 200);
  assert.equal((await get('/readyz'))[0], 200);
  assert.equal((await get('/nothing'))[0], 404);
  const [, page] = await get('/metrics');
  assert.match(page, /^dropstream_scheduler_revisions_total\{change="create"\} 1$/m);
  assert.match(page, /^grpc_server_handled_total\{.*grpc_method="CreateSchedule",grpc_code="OK"\} 1$/m);
  assert.match(page, /^grpc_server_handled_total\{.*grpc_method="WatchSchedule",grpc_code="OK"\} 0$/m);
  assert.match(page, /^dropstream_build_info\{service="scheduler"/m);
});

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}
