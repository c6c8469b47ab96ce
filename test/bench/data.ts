/** npm run bench:data: images a second through the pixel code and through the data service, beside Pillow's and torchvision's in the same minutes. */
import { availableParallelism } from 'node:os';
import { pixelInfo } from '#native/pixels.js';
import { type Plan, Plan as PlanMessage, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { startService } from '../support/processes.js';
import { type BenchImages, benchImages } from './data-images.js';
import { coresFor, Loader, type LoaderDone, type LoaderTask, pin } from './data-loader.js';
import { type DataBenchOptions, dataBenchOptions, type Row, usage } from './data-options.js';
import { DataPeer, type PeerLine, type PeerRow } from './data-peer.js';
import { processor } from './machine-peak.js';
import { scrapeReplica } from './scrape.js';
import { median, quantile, rounded, uneven } from './statistics.js';
import { UsageError } from './training-case.js';

const SIZE = 224;
const TRAINING_BATCH = 32;
const NO_OPERATIONS = { aa: '', colorJitter: 0, reprob: 0 };
/** Transform of each row; the peers' settings in data_pipeline.py. */
const TRANSFORMS: Record<Exclude<Row, 'mix'>, Partial<TransformSpec>> = {
  decode: { training: true, ...NO_OPERATIONS },
  augment: { training: true, reprob: 0 },
  finish: { training: true },
  evaluate: { training: false },
  grpc: { training: true, ...NO_OPERATIONS },
  training: { training: true },
};

interface Bench {
  readonly options: DataBenchOptions;
  readonly images: BenchImages;
  /** Cores of the pinned processes. */
  readonly cores: string | undefined;
  readonly peer: DataPeer | undefined;
}

function planOf({ options, images }: Bench, row: Exclude<Row, 'mix'>): Plan {
  return {
    ...PlanMessage.create(),
    dataset: { manifest: images.manifest },
    seed: 1n,
    batchSize: Math.min(options.batch, images.samples),
    order: SampleOrder.SHUFFLED,
    transform: { ...TransformSpec.create(), inputSize: SIZE, training: true, ...TRANSFORMS[row] },
    mix: undefined,
  };
}

const taskOf = (bench: Bench, row: Exclude<Row, 'mix'>, rest: Partial<LoaderTask> = {}): LoaderTask =>
  ({
    kind: 'render',
    seconds: bench.options.seconds,
    folder: bench.images.folder,
    store: bench.images.store,
    plan: planOf(bench, row),
    finish: row === 'finish',
    addresses: [],
    ...rest,
  }) as LoaderTask;

const speedOf = ({ images, seconds }: LoaderDone) => images / seconds;
const spread = (values: readonly number[]) => ({ p10: rounded(quantile(values, 0.1)), p90: rounded(quantile(values, 0.9)) });

/** Medians of the blocks' figures, and whether something else ran: blocks, or the tenths of one, differ by a quarter. */
function ours(blocks: readonly LoaderDone[], workers: number) {
  const speeds = blocks.map(speedOf);
  const rates = blocks.flatMap((block) => block.rates);
  const speed = median(speeds);
  const cpu = blocks.reduce((sum, block) => sum + block.cpuSeconds, 0) / blocks.reduce((sum, block) => sum + block.images, 0);
  return {
    img_per_s: rounded(speed),
    img_per_core_s: rounded(speed / workers),
    ...spread(rates),
    cpu_ms_per_image: rounded(1000 * cpu, 3),
    mb_per_s: rounded((speed * 3 * SIZE * SIZE) / 1e6),
    loop_delay_ms: blocks
      .map(({ loopDelayMs: { p50, p99, max } }) => ({ p50: rounded(p50, 3), p99: rounded(p99, 3), max: rounded(max, 3) }))
      .at(-1),
    blocks: speeds.map((one) => rounded(one)),
    disturbed: uneven(Math.max(...speeds), Math.min(...speeds)) || uneven(speed, quantile(rates, 0.1)),
  };
}

/** Each peer's median over its blocks, the best of them first. `lower`: less is better. */
function ranked(blocks: readonly PeerLine[][], lower: boolean) {
  const names = [...new Set(blocks.flat().map((line) => `${line.peer} ${line.case}`))];
  const peers = names.map((name) => {
    const lines = blocks.flat().filter((line) => `${line.peer} ${line.case}` === name);
    return {
      peer: lines[0]!.peer,
      version: lines[0]!.version,
      value: median(lines.map(({ value }) => value)),
      blocks: lines.map(({ value }) => value),
    };
  });
  return peers.sort((a, b) => (lower ? a.value - b.value : b.value - a.value));
}

/** Blocks A B B A of ours and the peers', or one of ours. */
async function alternate<A, B>(bench: Bench, a: () => Promise<A>, b: () => Promise<B>): Promise<[A[], B[]]> {
  const [as, bs]: [A[], B[]] = [[], []];
  for (const side of bench.peer ? 'ABBA' : 'A') {
    if (side === 'A') as.push(await a());
    else bs.push(await b());
  }
  return [as, bs];
}

async function pixelRow(bench: Bench, loader: Loader, row: Exclude<Row, 'mix' | 'grpc' | 'training'>) {
  const { workers } = bench.options;
  const [mine, theirs] = await alternate(
    bench,
    () => loader.run(taskOf(bench, row)),
    () => bench.peer!.block(row as PeerRow),
  );
  const figures = ours(mine, workers);
  const peers = ranked(theirs, false);
  return { case: row, ...figures, ratio: peers[0] ? rounded(figures.img_per_s / peers[0].value) : null, peers };
}

async function mixRow(bench: Bench, loader: Loader) {
  const { seconds } = bench.options;
  const [mine, theirs] = await alternate(
    bench,
    async () => ({
      float32: await loader.run({ kind: 'mix', seconds: seconds / 2, into: 'float32' }),
      bfloat16: await loader.run({ kind: 'mix', seconds: seconds / 2, into: 'bfloat16' }),
    }),
    () => bench.peer!.block('mix'),
  );
  const ratesOf = (into: keyof (typeof mine)[0]) => mine.map((one) => one[into].rates);
  const msOf = (into: keyof (typeof mine)[0]) => median(ratesOf(into).map(median));
  const ms = msOf('float32');
  const peers = ranked(theirs, true);
  return {
    case: 'mix',
    ms_per_batch: rounded(ms),
    ...spread(ratesOf('float32').flat()),
    ms_per_batch_bfloat16: rounded(msOf('bfloat16')),
    ratio: peers[0] ? rounded(peers[0].value / ms) : null,
    peers,
  };
}

/** Through replicas over in this process, in turns. `pinned`: everything shares the cores; otherwise each has its threads and the machine. */
async function serviceRow(bench: Bench, replicas: number, pinned: boolean) {
  const { options, images } = bench;
  const { workers } = options;
  const cores = pinned ? bench.cores : undefined;
  const ended: (() => unknown)[] = [];
  try {
    const argv = ['--store', images.store, '--root', images.folder, '--log-level', 'warn'];
    const services = await Promise.all(
      Array.from({ length: replicas }, () =>
        startService({ after: (close) => ended.push(close as () => unknown) }, 'data', argv, { DROPSTREAM_THREADS: String(workers) }),
      ),
    );
    for (const { process: child } of services) pin(child.pid!, cores);
    const [client, local] = [await Loader.start(workers, cores), await Loader.start(workers, cores)];
    ended.push(
      () => client.close(),
      () => local.close(),
    );
    const addresses = services.map(({ address }) => address);
    const [remote, inProcess]: [LoaderDone[], LoaderDone[]] = [[], []];
    const before = await Promise.all(services.map(scrapeReplica));
    for (const side of 'ABBA') {
      if (side === 'A') remote.push(await client.run(taskOf(bench, 'grpc', { kind: 'grpc', addresses })));
      else inProcess.push(await local.run(taskOf(bench, 'grpc', { kind: 'read' })));
    }
    const after = await Promise.all(services.map(scrapeReplica));
    const figures = ours(remote, workers);
    const base = ours(inProcess, workers);
    const served = after.map((one, i) => ({ images: one.images - before[i]!.images, cpu: one.cpuSeconds - before[i]!.cpuSeconds }));
    return {
      case: pinned ? 'grpc_same_cores' : 'grpc',
      replicas,
      ...figures,
      in_process_img_per_s: base.img_per_s,
      ratio: rounded(figures.img_per_s / base.img_per_s),
      replica_cpu_ms_per_image: rounded(
        (1000 * served.reduce((sum, { cpu }) => sum + cpu, 0)) / served.reduce((sum, one) => sum + one.images, 0),
        3,
      ),
      replica_loop_delay_ms: after.map((one) => ({ p99: rounded(1000 * one.loopP99, 3), max: rounded(1000 * one.loopMax, 3) })),
      replica_rss_mb: after.map((one) => rounded(one.residentBytes / 1e6)),
      blocks_in_process: base.blocks,
      disturbed: figures.disturbed || base.disturbed,
    };
  } finally {
    for (const end of ended.reverse()) await end();
  }
}

/** Training, decoding, and both with one replica, each with all cores of the machine, in turns A B C C B A. */
async function trainingRow(bench: Bench) {
  const { options, images } = bench;
  const { seconds, precision } = options;
  const threads = availableParallelism();
  const ended: (() => unknown)[] = [];
  try {
    const argv = ['--store', images.store, '--root', images.folder, '--log-level', 'warn'];
    const env = { DROPSTREAM_THREADS: String(threads) };
    const service = await startService({ after: (close) => ended.push(close as () => unknown) }, 'data', argv, env);
    const loader = await Loader.start(threads, undefined);
    ended.push(() => loader.close());
    const plan = { ...planOf(bench, 'training'), batchSize: Math.min(TRAINING_BATCH, images.samples) };
    const train = { kind: 'train', seconds, plan, model: 'vit_tiny', precision, addresses: [service.address] } as const;
    const tasks: readonly [string, LoaderTask][] = [
      ['training', { ...train, stream: false }],
      ['decoding', taskOf(bench, 'training', { kind: 'read', plan })],
      ['together', { ...train, stream: true }],
    ];
    const done = new Map<string, LoaderDone[]>(tasks.map(([name]) => [name, []]));
    const replica = { cpuSeconds: 0, images: 0 };
    for (const [name, task] of [...tasks, ...[...tasks].reverse()]) {
      const before = await scrapeReplica(service);
      done.get(name)!.push(await loader.run(task));
      const after = await scrapeReplica(service);
      if (name !== 'together') continue;
      replica.cpuSeconds += after.cpuSeconds - before.cpuSeconds;
      replica.images += after.images - before.images;
    }
    const blocks = Object.fromEntries([...done].map(([name, all]) => [name, all.map((one) => (1000 * one.seconds) / one.images)]));
    const ms = (name: string) => median(blocks[name]!);
    const together = done.get('together')!;
    const total = (of: (one: LoaderDone) => number) => together.reduce((sum, one) => sum + of(one), 0);
    return {
      case: 'training',
      model: train.model,
      precision,
      batch: plan.batchSize,
      threads,
      training_ms: rounded(ms('training')),
      decoding_ms: rounded(ms('decoding')),
      together_ms: rounded(ms('together')),
      ratio: rounded(ms('together') / (ms('training') + ms('decoding'))),
      split: {
        data_wait_share: rounded(total((one) => one.waitedSeconds) / total((one) => one.seconds), 3),
        trainer_cpu_ms_per_image: rounded((1000 * total((one) => one.cpuSeconds)) / total((one) => one.images), 3),
        replica_cpu_ms_per_image: rounded((1000 * replica.cpuSeconds) / replica.images, 3),
      },
      blocks: Object.fromEntries(Object.entries(blocks).map(([name, all]) => [name, all.map((one) => rounded(one))])),
      disturbed: Object.values(blocks).some((all) => uneven(Math.max(...all), Math.min(...all))),
    };
  } finally {
    for (const end of ended.reverse()) await end();
  }
}

async function bench(options: DataBenchOptions): Promise<object> {
  const { workers, seconds, rows } = options;
  const images = await benchImages(options.images, options.count);
  const cores = coresFor(workers);
  const cases: ({ case: string; ratio: number | null } & object)[] = [];
  try {
    const peer = options.peer ? await DataPeer.prepare({ folder: images.folder, workers, seconds, cores }) : undefined;
    const all: Bench = { options, images, cores, peer };
    const note = (result: (typeof cases)[number]) => {
      cases.push(result);
      console.log(JSON.stringify(result));
    };
    const loader = await Loader.start(workers, cores);
    try {
      for (const row of rows) {
        if (row === 'mix') note(await mixRow(all, loader));
        else if (row !== 'grpc' && row !== 'training') note(await pixelRow(all, loader, row));
      }
    } finally {
      loader.close();
    }
    if (rows.includes('grpc')) {
      note(await serviceRow(all, 1, false));
      note(await serviceRow(all, 2, false));
      if (cores !== undefined) note(await serviceRow(all, 1, true));
    }
    if (rows.includes('training')) note(await trainingRow(all));
  } finally {
    images.remove();
  }
  const first = cases[0]!;
  return {
    bench: 'data',
    ratio: first.ratio,
    processor: processor(),
    workers,
    pinned_to: cores ?? null,
    images: images.samples,
    batch: options.batch,
    seconds,
    jpeg: pixelInfo().jpeg,
    cases,
  };
}

try {
  const args = process.argv.slice(2);
  if (args.includes('--help')) console.log(usage);
  else console.log(JSON.stringify(await bench(dataBenchOptions(args))));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`bench:data: ${error.message}\n\n${usage}`);
  process.exitCode = 2;
}
