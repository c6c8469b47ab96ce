/** The process that a row of bench:data runs in: told by messages what to do for how long, answers with what was done. See data-loader.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { finishPlanOf } from '#data/client/batch.js';
import { BatchClient } from '#data/client/batch-client.js';
import { expectBulkMemory } from '#data/client/bulk-memory.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { DatasetReader } from '#data/datasets/dataset-reader.js';
import { FolderSource } from '#data/datasets/folder-source.js';
import type { Manifest } from '#data/manifest/manifest.js';
import { loadManifest } from '#data/manifest/manifest-store.js';
import { BatchPlanner } from '#data/plan/batch-plan.js';
import { resolvePlan } from '#data/plan/plan.js';
import { finishBatch, type RenderSource, renderBatch } from '#native/pixels.js';
import { BatchHeader, BatchSample, type Plan } from '#protocol/dropstream/v1/data.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { FileMemory } from '../../services/data/file-memory.js';
import { batchSample } from '../../services/data/make-batch.js';
import { renderSamples } from '../../services/data/render-samples.js';
import type { LoaderDone, LoaderTask, PlannedTask } from './data-loader.js';
import { training } from './data-training.js';

/** Batches in flight: one is planned and read while another is rendered. */
const AHEAD = 2;
const WARM_UP_BATCHES = 3;
/** Calls in flight through gRPC. */
const CALLS = 4;

interface Source {
  readonly manifest: Manifest;
  readonly planner: BatchPlanner;
  readonly epochs: () => Generator<{ epoch: number; index: number }>;
}

async function open(task: PlannedTask): Promise<Source> {
  const store = await DirectoryStore.open(task.store);
  const manifest = await loadManifest(store, { project: 'default', sha256: task.plan.dataset!.manifest }).finally(() => store.close());
  const planner = new BatchPlanner(resolvePlan(task.plan), manifest);
  return {
    manifest,
    planner,
    epochs: function* () {
      for (let epoch = 0; ; epoch++) for (let index = 0; index < planner.batchesPerEpoch; index++) yield { epoch, index };
    },
  };
}

/** Runs `one` for batches in order, AHEAD at a time, until the time is over; `done` is told of each as it ends. */
async function inFlight(
  source: Source,
  ahead: number,
  isOver: () => boolean,
  one: (epoch: number, index: number) => Promise<number>,
  done: (images: number) => void,
) {
  const places = source.epochs();
  const lane = async (): Promise<void> => {
    while (!isOver()) {
      const { epoch, index } = places.next().value!;
      done(await one(epoch, index));
    }
  };
  await Promise.all(Array.from({ length: ahead }, lane));
}

/** Decoding, augmenting and, where asked, finishing, of files held in memory. */
function rendering(task: PlannedTask, source: Source) {
  const { manifest, planner } = source;
  const files = Array.from({ length: manifest.samples }, (_, sample): RenderSource => {
    const bytes = readFileSync(join(task.folder, manifest.path(sample)));
    return { format: 'jpeg', bytes, width: manifest.widths[sample]!, height: manifest.heights[sample]! };
  });
  const size = planner.plan.transform.inputSize;
  const memory: { pixels: Uint8Array; values: Float32Array }[] = [];
  return async (epoch: number, index: number): Promise<number> => {
    const { samples, mix } = planner.batch(epoch, index);
    const values = samples.length * 3 * size * size;
    const held = memory.pop() ?? { pixels: new Uint8Array(values), values: new Float32Array(task.finish ? values : 0) };
    const pixels = held.pixels.subarray(0, values);
    const outcomes = await renderBatch(
      samples.map(({ sample, plan }) => ({ source: files[sample]!, plan: plan.render })),
      size,
      pixels,
    );
    const failed = outcomes.find((outcome) => !outcome.ok);
    if (failed) throw new Error(`an image of the benchmark: ${failed.reason}`);
    if (task.finish) {
      const header = {
        ...BatchHeader.create(),
        ...STATISTICS,
        samples: samples.map((sample, slot) => batchSample(sample, mix[slot] ?? null)),
      };
      await finishBatch(pixels, samples.length, size, finishPlanOf(header), held.values.subarray(0, values));
    }
    memory.push(held);
    return samples.length;
  };
}

const STATISTICS = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

/** As the data service makes a batch: files read and checked against the manifest, rendered. */
async function reading(task: PlannedTask, { manifest, planner }: Source) {
  const reader = new DatasetReader(manifest, new FolderSource(manifest, task.folder, await AllowedRoots.open([task.folder])));
  const signal = new AbortController().signal;
  const files = new FileMemory();
  const one = async (epoch: number, index: number): Promise<number> =>
    (await renderSamples(planner.batch(epoch, index).samples, { planner, reader, epoch, threads: undefined, signal, files })).samples
      .length;
  return { one, close: () => reader.close() };
}

/** Batches through the service, in order, as a trainer takes them. */
async function fetching(plan: Plan, addresses: readonly string[], isOver: () => boolean, done: (images: number) => void): Promise<void> {
  const client = new BatchClient({ addresses, inFlight: CALLS });
  try {
    for await (const batch of client.batches({ plan, signal: new AbortController().signal })) {
      done(batch.header.samples.length);
      batch.release();
      if (isOver()) return;
    }
  } finally {
    client.close();
  }
}

/** Milliseconds of a batch of 128 images: normalised and mixed to float32 or bfloat16. */
async function mixing(task: LoaderTask & { kind: 'mix' }, isOver: () => boolean): Promise<number[]> {
  const [n, size] = [128, 224];
  const area = n * 3 * size * size;
  const pixels = Uint8Array.from({ length: area }, (_, i) => (i * 2654435761) >>> 24);
  const box = { top: 40, left: 60, height: 100, width: 90 };
  const samples = Array.from({ length: n }, (_, slot) => ({
    ...BatchSample.create(),
    mix: { lambda: 0.7, partner: n - 1 - slot, cutmix: slot % 2 === 1, ...box },
  }));
  const plan = finishPlanOf({ ...BatchHeader.create(), ...STATISTICS, samples });
  const out = task.into === 'float32' ? new Float32Array(area) : new Uint16Array(area);
  const times: number[] = [];
  for (let i = 0; i < 8 || !isOver(); i++) {
    const began = performance.now();
    await finishBatch(pixels, n, size, plan, out);
    if (i > 0) times.push(performance.now() - began);
  }
  return times;
}

async function work(task: LoaderTask): Promise<LoaderDone> {
  let end = Number.POSITIVE_INFINITY;
  const isOver = () => performance.now() >= end;
  const begin = () => {
    end = performance.now() + 1000 * task.seconds;
  };
  if (task.kind === 'mix') {
    begin();
    return {
      images: 0,
      seconds: 0,
      cpuSeconds: 0,
      rates: await mixing(task, isOver),
      waitedSeconds: 0,
      loopDelayMs: { p50: 0, p99: 0, max: 0 },
    };
  }
  const ends: End[] = [];
  const delay = monitorEventLoopDelay({ resolution: 1 });
  let warm = 0;
  const done = (images: number): void => {
    if (++warm < WARM_UP_BATCHES) return;
    if (warm === WARM_UP_BATCHES) {
      begin();
      delay.enable();
    }
    const { user, system } = process.cpuUsage();
    ends.push({ at: performance.now(), images, cpu: (user + system) / 1e6 });
  };
  let waitedSeconds = 0;
  if (task.kind === 'train') waitedSeconds = await training(task, isOver, done);
  else if (task.kind === 'grpc') await fetching(task.plan, task.addresses, isOver, done);
  else {
    const source = await open(task);
    const { one, close } = task.kind === 'render' ? { one: rendering(task, source), close: async () => {} } : await reading(task, source);
    await inFlight(source, AHEAD, isOver, one, done);
    await close();
  }
  delay.disable();
  // The first end begins the measurement; its own images were made before.
  const [first, last] = [ends[0]!, ends.at(-1)!];
  return {
    images: imagesOf(ends),
    seconds: (last.at - first.at) / 1000,
    cpuSeconds: last.cpu - first.cpu,
    rates: windows(ends, Math.max(2, Math.ceil(ends.length / 10))),
    waitedSeconds,
    loopDelayMs: { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6, max: delay.max / 1e6 },
  };
}

/** A batch that has ended. */
interface End {
  readonly at: number;
  readonly images: number;
  /** Seconds of this process until then. */
  readonly cpu: number;
}

const imagesOf = (ends: readonly End[]) => ends.slice(1).reduce((sum, { images }) => sum + images, 0);

/** Images a second between every `each`-th end. */
function windows(ends: readonly End[], each: number): number[] {
  const rates: number[] = [];
  for (let from = 0; from + each < ends.length; from += each) {
    rates.push((1000 * imagesOf(ends.slice(from, from + each + 1))) / (ends[from + each]!.at - ends[from]!.at));
  }
  return rates;
}

// As the processes of services do.
expectBulkMemory();
process.on('message', (task: LoaderTask) => {
  work(task).then(
    (done) => process.send!({ done }),
    (error) => process.send!({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
// An orphan ends.
process.on('disconnect', () => process.exit(0));
process.send!('ready');
