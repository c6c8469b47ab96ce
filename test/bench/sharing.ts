/** npm run bench:sharing: what a client that reads gets from a data replica, alone and beside streams of the same address that nobody reads. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { BatchClient } from '#data/client/batch-client.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { DataServiceClient, PixelFormat, Plan, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { openStore } from '#storage/open-store.js';
import { startService } from '../support/processes.js';
import { writeImageFolder } from '../support/sample-datasets.js';

const usage = `npm run bench:sharing -- [options]

  --streams N       streams that are not read (default 300)
  --connections N   their connections (default 30)
  --seconds N       length of each measurement (default 15)

A client reads batches of 64 images of 224 pixels as float32: alone, in the first seconds beside the unread streams, later beside them, and a new
client beside them. Nothing else should run meanwhile. The last line is one JSON object: images a second of each, and their share of the rate alone.`;

async function bench(streams: number, connections: number, seconds: number): Promise<object> {
  const ends: (() => unknown)[] = [];
  try {
    const folder = await mkdtemp(join(tmpdir(), 'bench-sharing-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    writeImageFolder(join(folder, 'images'), { perClass: 30, size: 300 });
    const store = await openStore(join(folder, 'store'));
    const dataset = await indexDataset(await AllowedRoots.open([folder]), join(folder, 'images'));
    await saveManifest(store, dataset, 'default');
    await store.close();
    const argv = ['--store', join(folder, 'store'), '--root', folder, '--log-level', 'warn'];
    const data = await startService({ after: (end) => ends.push(end as () => unknown) }, 'data', argv);
    const plan = Plan.fromPartial({
      dataset: { manifest: dataset.sha256 },
      seed: 1n,
      batchSize: 64,
      order: SampleOrder.SHUFFLED,
      transform: TransformSpec.fromPartial({ inputSize: 224, training: true }),
    });
    const format = PixelFormat.FLOAT32;
    const newClient = () => {
      const client = new BatchClient({ addresses: [data.address], inFlight: 3 });
      ends.push(() => client.close());
      return client;
    };
    /** Images a second, of the clock and of the service's processor time; the latter hardly depends on what else runs. */
    const rate = async (client: BatchClient): Promise<Rate> => {
      const [begun, cpu] = [performance.now(), cpuSeconds(data.process.pid!)];
      let images = 0;
      for await (const batch of client.batches({ plan, format, signal: AbortSignal.timeout(10 * 60_000) })) {
        images += batch.header.samples.length;
        batch.release();
        if (performance.now() - begun > 1000 * seconds) break;
      }
      return { second: (1000 * images) / (performance.now() - begun), cpuSecond: images / (cpuSeconds(data.process.pid!) - cpu) };
    };
    const honest = newClient();
    const aloneFirst = await rate(honest);
    const alone = await rate(honest);
    const stop = new AbortController();
    ends.push(() => stop.abort());
    const answers: Record<string, number> = {};
    const count = (answer: string): void => {
      answers[answer] = (answers[answer] ?? 0) + 1;
    };
    for (let c = 0; c < connections; c++) {
      const channel = { 'grpc.use_local_subchannel_pool': 1 };
      const client = connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, data.address, { channel });
      ends.push(() => client.close());
      for (let s = 0; s < Math.floor(streams / connections); s++) {
        const messages = client.getBatch({ plan, format, epoch: s }, { signal: stop.signal })[Symbol.asyncIterator]();
        // The header is read, and nothing after it.
        messages.next().then(
          () => count('header'),
          (error) => count(stop.signal.aborted ? 'waited' : (error as Error).name),
        );
      }
    }
    const first = await rate(honest);
    const later = await rate(honest);
    const newcomer = newClient();
    const newcomerFirst = await rate(newcomer);
    const newcomerLater = await rate(newcomer);
    stop.abort();
    await delay(1000);
    const after = await rate(honest);
    const row = ({ second, cpuSecond }: Rate) => ({
      imagesPerSecond: Math.round(second),
      share: Math.round((1000 * second) / alone.second) / 1000,
      imagesPerCpuSecond: Math.round(cpuSecond),
      cpuShare: Math.round((1000 * cpuSecond) / alone.cpuSecond) / 1000,
    });
    const rows = Object.fromEntries(
      Object.entries({ aloneFirst, alone, first, later, newcomerFirst, newcomerLater, after }).map(([when, value]) => [when, row(value)]),
    );
    return { streams, connections, seconds, ...rows, unread: answers };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

interface Rate {
  readonly second: number;
  readonly cpuSecond: number;
}

/** Processor time of a process so far. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const { values } = parseArgs({
  options: {
    streams: { type: 'string', default: '300' },
    connections: { type: 'string', default: '30' },
    seconds: { type: 'string', default: '15' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(usage);
else console.log(JSON.stringify(await bench(Number(values.streams), Number(values.connections), Number(values.seconds))));
