// What lists, deletions and watches make of damaged schedules, through real gRPC over a directory store.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Aborted, DataLoss, NotFound } from '#errors/errors.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect } from '#rpc/client.js';
import { silentLogger } from '#telemetry/logger.js';
import { schedulerConfig } from './config.js';
import { start } from './main.js';

const closing: (() => unknown)[] = [];
let folder: string;
const parent = 'projects/p';
const t = { timeoutMs: 30_000 };
const spec = { kind: DropKind.DROP_PATH, rate: 0.5, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 2 };

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropstream-schedules-'));
});
after(async () => {
  for (const end of closing.reverse()) await end();
  await rm(folder, { recursive: true });
});

/** A replica that has not read anything yet. */
async function replica() {
  const config = schedulerConfig.parse({ argv: ['--port', '0', '--admin-port', '0', '--store', folder, '--watch-poll-ms', '20'] });
  const running = await start(config, { logger: silentLogger(), processMetrics: false });
  const client = connect(SchedulerServiceClient, `127.0.0.1:${running.port}`, { retry: { attempts: 1 } });
  closing.push(
    () => running.close(),
    () => client.close(),
  );
  return client;
}

const newestOf = (name: string, uid: string): string => join(folder, name, uid, 'revisions', '000000000003.json');

const kinds: Record<string, (name: string, uid: string) => Promise<unknown>> = {
  'hole-in-revisions': (name, uid) => rm(join(folder, name, uid, 'revisions', '000000000002.json')),
  'newest-cut-short': async (name, uid) => {
    const path = join(folder, name, uid, 'revisions', '000000000003.json');
    await writeFile(path, (await readFile(path)).subarray(0, 40));
  },
  'newest-of-another': async (name, uid) => {
    const of = (revision: number) => join(folder, name, uid, 'revisions', `00000000000${revision}.json`);
    await writeFile(of(3), await readFile(of(2)));
  },
  'newest-empty': (name, uid) => writeFile(newestOf(name, uid), ''),
  'newest-of-other-shape': (name, uid) => writeFile(newestOf(name, uid), '[1,2,3]'),
  'newest-of-a-newer-version': async (name, uid) => {
    const text = await readFile(newestOf(name, uid), 'utf8');
    await writeFile(newestOf(name, uid), text.replace('schedule-revision/2', 'schedule-revision/9'));
  },
  'incarnation-changed': async (name) => {
    const path = join(folder, name, 'incarnations', '00000001.json');
    await writeFile(path, (await readFile(path, 'utf8')).replace('"deleted":false', '"deleted":true '));
  },
  'incarnation-lost': (name) => rm(join(folder, name, 'incarnations', '00000001.json')),
};

test('schedules that are damaged are named by lists, hide no others, and can be deleted and created again', async (t2) => {
  const writer = await replica();
  const ids = [...Object.keys(kinds), 'whole-a', 'whole-b'];
  for (const scheduleId of ids) {
    const { schedule } = await writer.createSchedule({ parent, scheduleId, spec }, t);
    for (const rate of [0.1, 0.2]) await writer.updateSchedule({ name: schedule!.name, spec: { ...spec, rate }, updateMask: ['rate'] }, t);
    await kinds[scheduleId]?.(schedule!.name, schedule!.uid);
  }
  const client = await replica();
  const listed = async () => {
    const whole: string[] = [];
    const damaged: string[] = [];
    for (let pageToken = ''; ; ) {
      const page = await client.listSchedules({ parent, pageSize: 2, pageToken }, t);
      whole.push(...page.schedules.map(({ name }) => name.split('/')[3]!));
      damaged.push(...page.unreadable.map(({ name }) => name.split('/')[3]!));
      for (const { name, reason } of page.unreadable) {
        assert.match(reason, /damaged/);
        if (name.endsWith('newer-version')) assert.match(reason, /schedule-revision\/9, this version reads .*schedule-revision\/2/);
      }
      pageToken = page.nextPageToken;
      if (pageToken === '') return { whole, damaged };
    }
  };
  for (let look = 0; look < 2; look++)
    assert.deepEqual(await listed(), { whole: ['whole-a', 'whole-b'], damaged: Object.keys(kinds).sort() });
  for (const id of Object.keys(kinds))
    await t2.test(id, async () => {
      const name = `${parent}/schedules/${id}`;
      await assert.rejects(client.getSchedule({ name }, t), DataLoss);
      await assert.rejects(client.updateSchedule({ name, spec }, t), DataLoss);
      if (!id.startsWith('incarnation-')) await assert.rejects(client.deleteSchedule({ name, etag: 'x' }, t), Aborted);
      await client.deleteSchedule({ name }, t);
      await assert.rejects(client.getSchedule({ name }, t), NotFound);
      await assert.rejects(client.deleteSchedule({ name }, t), NotFound);
      assert.ok(!(await listed()).damaged.includes(id));
      const { schedule } = await client.createSchedule({ parent, scheduleId: id, spec }, t);
      assert.ok(schedule!.revision > 3n, `${schedule!.revision}: no number is given out twice`);
      assert.deepEqual((await client.getSchedule({ name }, t)).schedule, schedule);
    });
  assert.deepEqual((await listed()).whole, ids.sort());
});

test('a revision that is not the one that was stored is damage, as a late writer leaves it in the place of a lost one', async () => {
  const writer = await replica();
  const { schedule } = await writer.createSchedule({ parent, scheduleId: 'replaced', spec }, t);
  const { name, uid } = schedule!;
  for (const rate of [0.1, 0.2]) await writer.updateSchedule({ name, spec: { ...spec, rate }, updateMask: ['rate'] }, t);
  const path = join(folder, name, uid, 'revisions', '000000000002.json');
  const stored = await readFile(path);
  await writeFile(
    path,
    JSON.stringify({ ...JSON.parse(stored.toString()), writer: 'late', spec: { ...JSON.parse(stored.toString()).spec, rate: 0.4 } }),
  );
  const client = await replica();
  const watched = async (): Promise<bigint[]> => {
    const seen: bigint[] = [];
    for await (const now of client.watchSchedule({ name }, t)) if (seen.push(now.schedule!.revision) === 3) break;
    return seen;
  };
  for (let look = 1; look <= 2; look++) {
    await assert.rejects(client.getSchedule({ name, revision: 2n }, t), DataLoss);
    await assert.rejects(watched(), DataLoss);
    assert.equal((await client.getSchedule({ name }, t)).schedule!.revision, 3n);
    assert.equal((await client.getSchedule({ name, revision: 1n }, t)).schedule!.spec!.rate, 0.5);
  }
  await writeFile(path, stored);
  assert.equal((await client.getSchedule({ name, revision: 2n }, t)).schedule!.spec!.rate, 0.1);
  assert.deepEqual(await watched(), [1n, 2n, 3n]);
  await client.deleteSchedule({ name }, t);
});

test('all who watch a schedule see every revision once and in order, however many they are', async () => {
  const [writer, client] = [await replica(), await replica()];
  const { schedule } = await writer.createSchedule({ parent, scheduleId: 'watched', spec }, t);
  const watch = async (): Promise<bigint[]> => {
    const seen: bigint[] = [];
    for await (const now of client.watchSchedule({ name: schedule!.name }, t)) seen.push(now.schedule!.revision);
    return seen;
  };
  const all = Array.from({ length: 100 }, watch);
  for (let k = 1; k <= 5; k++)
    await writer.updateSchedule({ name: schedule!.name, spec: { ...spec, rate: k / 10 }, updateMask: ['rate'] }, t);
  await writer.deleteSchedule({ name: schedule!.name }, t);
  for (const seen of await Promise.all(all)) assert.deepEqual(seen, [1n, 2n, 3n, 4n, 5n, 6n, 7n].slice(0, seen.length), 'in order');
  for (const seen of await Promise.all(all)) assert.equal(seen.at(-1), 7n, 'up to the deletion');
});
