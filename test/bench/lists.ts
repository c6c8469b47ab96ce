/**
 * npm run bench:lists: what a page of a long list costs, and what 500 watchers of one run cost the others. Services are processes of their own, and
 * so are the watchers.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Limiter } from '#bounds/limiter.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { openStore } from '#storage/open-store.js';
import { startMinio } from '../support/minio.js';
import { type ServiceName, sourceFlags, startService } from '../support/processes.js';
import { writeTinyDataset } from '../support/tiny-dataset.js';
import { quantile, rounded } from './statistics.js';

const usage = `npm run bench:lists -- [options]

  --store directory|minio   (default: both, one after the other)
  --count N                 runs and schedules (default 10000); all runs wait in the queue, which is the slowest case for a list
  --pages N                 measured calls of each kind (default 500)
  --watchers N              (default 500)
  --seconds N               of GetRun beside the watchers (default 20)

The last line is one JSON object: for each store the first call ("first", in a process that has just started) and p50 and p99 of the others, in
milliseconds. Nothing else should run meanwhile.`;

const parent = 'projects/bench';
const call = { timeoutMs: 300_000 };
const filter = 'state = QUEUED AND labels.team = vision';

interface Times {
  readonly first: number;
  readonly p50: number;
  readonly p99: number;
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function timesOf(calls: number, work: () => Promise<unknown>): Promise<Times> {
  const first = await timed(work);
  const others: number[] = [];
  for (let k = 0; k < calls; k++) others.push(await timed(work));
  return { first: rounded(first), p50: rounded(quantile(others, 0.5)), p99: rounded(quantile(others, 0.99)) };
}

interface Options {
  readonly count: number;
  readonly pages: number;
  readonly watchers: number;
  readonly seconds: number;
}

async function bench(kind: string, { count, pages, watchers, seconds }: Options): Promise<object> {
  const ends: (() => unknown)[] = [];
  const after = (end: unknown): void => void ends.push(end as () => unknown);
  try {
    const folder = await mkdtemp(join(tmpdir(), 'bench-lists-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    let uri = join(folder, 'store');
    let env: Record<string, string> = {};
    if (kind === 'minio') {
      const minio = await startMinio();
      if ('skip' in minio) return { skipped: minio.skip };
      ends.push(() => minio.stop());
      uri = await minio.createBucket('bench');
      env = { ...minio.env };
    }
    const store = await openStore(uri, { env });
    ends.push(() => store.close());
    const images = writeTinyDataset(join(folder, 'images'), { train: 8, test: 1, classes: 2 });
    const dataset = await indexDataset(await AllowedRoots.open([folder]), images, { split: 'train' });
    await saveManifest(store, dataset, 'bench');
    const spawn = (name: ServiceName, argv: string[]) => startService({ after }, name, ['--store', uri, ...argv], env);
    const trainerOf = async () => {
      const { address } = await spawn('trainer', ['--role', 'api']);
      const client = connect(TrainerServiceClient, address);
      ends.push(() => client.close());
      return { client, address };
    };
    const schedulerOf = async () => {
      const client = connect(SchedulerServiceClient, (await spawn('scheduler', [])).address);
      ends.push(() => client.close());
      return client;
    };

    const spec = RunSpec.fromPartial({
      model: 'vit_nano_p7',
      trainManifest: dataset.sha256,
      batchSize: 4,
      epochs: 2,
      warmupEpochs: 0,
      lr: 1e-3,
    });
    const teams = ['vision', 'speech', 'text', 'audio'];
    const filling = await trainerOf();
    // Most of the set-up is waiting for the store.
    const limiter = new Limiter(64);
    const ids = Array.from({ length: count }, (_, k) => `item-${String(k).padStart(6, '0')}`);
    const createRuns = await timed(() =>
      Promise.all(
        ids.map((runId, k) => limiter.run(() => filling.client.createRun({ parent, runId, spec, labels: { team: teams[k % 4]! } }, call))),
      ),
    );
    const fillingSchedules = await schedulerOf();
    const drop = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 2 };
    const createSchedules = await timed(() =>
      Promise.all(ids.map((scheduleId) => limiter.run(() => fillingSchedules.createSchedule({ parent, scheduleId, spec: drop }, call)))),
    );

    // The first list ever looks for schedules of version 0.1, and others wait for it.
    const schedulesLook = await timed(() => fillingSchedules.listSchedules({ parent }, call));

    // Services that have just started know nothing of what they list.
    const { client, address } = await trainerOf();
    const schedules = await schedulerOf();
    const result = {
      createRun: rounded(createRuns / count),
      createSchedule: rounded(createSchedules / count),
      schedulesLook: rounded(schedulesLook),
      runs: await timesOf(pages, () => client.listRuns({ parent }, call)),
      schedules: await timesOf(pages, () => schedules.listSchedules({ parent }, call)),
      runsFiltered: await timesOf(pages, () => client.listRuns({ parent, filter }, call)),
      runsNewestFirst: await timesOf(pages, () => client.listRuns({ parent, orderBy: 'create_time desc' }, call)),
    };
    const name = `${parent}/runs/${ids[0]}`;
    const child = fork(fileURLToPath(import.meta.url), ['--watch', name, '--address', address, '--watchers', String(watchers)], {
      execArgv: sourceFlags,
    });
    ends.push(async () => {
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    await once(child, 'message');
    const gets: number[] = [];
    // Something happens in the watched run once a second, as in one that trains.
    let changes = 0;
    const until = performance.now() + 1000 * seconds;
    let next = performance.now();
    while (performance.now() < until) {
      if (performance.now() >= next) {
        next += 1000;
        if (changes++ % 2 === 0) await client.pauseRun({ name }, call);
        else await client.resumeRun({ name }, call);
      }
      gets.push(await timed(() => client.getRun({ name: `${parent}/runs/${ids[1 + (gets.length % 99)]}` }, call)));
      await delay(2);
    }
    child.send('count');
    const [seen] = (await once(child, 'message')) as [number];
    return {
      ...result,
      getRunBesideWatchers: { p50: rounded(quantile(gets, 0.5)), p99: rounded(quantile(gets, 0.99)), calls: gets.length },
      eventsPerWatcher: rounded(seen / watchers),
      changes,
    };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** The child: opens the watches, says when each has its first event, and how many events all of them got. */
async function watchRun(name: string, address: string, watchers: number): Promise<void> {
  const client = connect(TrainerServiceClient, address);
  let events = 0;
  const begun = Array.from({ length: watchers }, () => {
    const stream = client.watchRun({ name }, { timeoutMs: 600_000 })[Symbol.asyncIterator]();
    return stream.next().then(() => {
      events++;
      void (async () => {
        while (!(await stream.next()).done) events++;
      })();
    });
  });
  await Promise.all(begun);
  process.on('message', () => process.send?.(events));
  process.send?.('begun');
}

const { values } = parseArgs({
  options: {
    store: { type: 'string' },
    count: { type: 'string', default: '10000' },
    pages: { type: 'string', default: '500' },
    watchers: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '20' },
    watch: { type: 'string' },
    address: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(usage);
else if (values.watch !== undefined) await watchRun(values.watch, values.address, Number(values.watchers));
else {
  const { count, pages, watchers, seconds } = values;
  const options = { count: Number(count), pages: Number(pages), watchers: Number(watchers), seconds: Number(seconds) };
  const results: Record<string, object> = {};
  for (const kind of values.store === undefined ? ['directory', 'minio'] : [values.store]) results[kind] = await bench(kind, options);
  console.log(JSON.stringify({ count: options.count, watchers: options.watchers, ...results }));
}
