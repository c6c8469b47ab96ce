/** The part of bench:loop that holds every service: each runs in this process while another process makes its heaviest calls. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { encodePng } from '#native/pixels.js';
import { PixelFormat, Plan, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { Evaluation, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { type Run, StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import type { RunningService } from '#rpc/start-service.js';
import { openStore } from '#storage/open-store.js';
import { dataConfig } from '../../services/data/config.js';
import { start as startData } from '../../services/data/main.js';
import { Evaluations } from '../../services/evaluator/api/evaluations.js';
import { evaluatorConfig } from '../../services/evaluator/config.js';
import { start as startEvaluator } from '../../services/evaluator/main.js';
import { schedulerConfig } from '../../services/scheduler/config.js';
import { start as startScheduler } from '../../services/scheduler/main.js';
import { trainerConfig } from '../../services/trainer/config.js';
import { start as startTrainer } from '../../services/trainer/main.js';
import { openRunLog } from '../../services/trainer/run/run-log.js';
import { type ServiceName, sourceFlags } from '../support/processes.js';
import { writeImageFolder } from '../support/sample-datasets.js';
import { connectTrainer } from '../support/training.js';
import { LoopDelay } from './loop-delay.js';
import type { LoadDone } from './loop-load.js';

const parent = 'projects/bench';
const soon = { timeoutMs: 60_000 };
const classes = 10_000;
const schedules = 10_000;
const runs = 300;
const evaluations = 2000;
/** Records of the run that is watched, and steps in each: about 10 hours of training. */
const watchedRecords = 10_000;
const stepsOfRecord = 20;
const quiet = ['--port', '0', '--admin-port', '0', '--log-level', 'error'];

/** The answer of one case. */
interface Case {
  readonly method: string;
  readonly request: object;
  /** Calls in flight. */
  readonly together?: number;
}

export async function benchServices(seconds: number): Promise<object> {
  const ends: (() => unknown)[] = [];
  try {
    const folder = await mkdtemp(join(tmpdir(), 'bench-loop-services-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    const storeFolder = join(folder, 'store');
    const options = ['--store', storeFolder, ...quiet];
    const load = fork(fileURLToPath(new URL('./loop-load.ts', import.meta.url)), { execArgv: sourceFlags, serialization: 'advanced' });
    ends.push(() => load.kill('SIGKILL'));
    const { images, many } = await datasets(folder, storeFolder);

    const results: Record<string, object> = {};
    const hold = async (name: ServiceName, service: RunningService, cases: Readonly<Record<string, Case>>): Promise<void> => {
      const address = `127.0.0.1:${service.port}`;
      const calls: Record<string, LoadDone> = {};
      const loop = new LoopDelay('idle');
      try {
        for (const [title, { together = 2, ...one }] of Object.entries(cases)) {
          loop.begin(title);
          load.send({ service: name, address, seconds, together, ...one });
          calls[title] = await done(load);
          loop.begin('idle');
          console.error(`${name}: ${title}: ${JSON.stringify(calls[title])}`);
        }
      } finally {
        const delays = loop.close();
        results[name] = Object.fromEntries(Object.entries(delays).map(([title, delay]) => [title, { ...delay, ...calls[title] }]));
        await service.close();
      }
    };

    const plan = (inputSize: number) =>
      Plan.fromPartial({
        dataset: { manifest: images },
        batchSize: 64,
        order: SampleOrder.SHUFFLED,
        transform: TransformSpec.fromPartial({ inputSize, training: true }),
      });
    await hold('data', await startData(dataConfig.parse({ argv: [...options, '--root', folder] }), { processMetrics: false }), {
      'GetBatch float32 64 x 224': { method: 'getBatch', request: { parent, plan: plan(224), format: PixelFormat.FLOAT32 }, together: 4 },
      'PreviewBatch 64 x 768': { method: 'previewBatch', request: { parent, plan: plan(768), limit: 64 } },
      [`DescribeDataset ${classes} classes`]: { method: 'describeDataset', request: { parent, dataset: { manifest: many } } },
    });

    const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 20 };
    const length = { epochs: 300, stepsPerEpoch: 1000, depth: 46 };
    const scheduler = await startScheduler(schedulerConfig.parse({ argv: options }), { processMetrics: false });
    const client = connect(SchedulerServiceClient, `127.0.0.1:${scheduler.port}`);
    await manyTimes(schedules, (i) => client.createSchedule({ parent, scheduleId: `s${i}`, spec }, soon));
    client.close();
    await hold('scheduler', scheduler, {
      'GetRates 10,000 steps x 46': {
        method: 'getRates',
        request: { source: { $case: 'spec', value: spec }, length, steps: Array.from({ length: 10_000 }, (_, i) => BigInt(10 * i)) },
      },
      'PreviewSchedule 10,000 samples': { method: 'previewSchedule', request: { spec, length, samples: 10_000 } },
      [`ListSchedules 1000 of ${schedules}`]: { method: 'listSchedules', request: { parent, pageSize: 1000 } },
    });

    const trainer = await startTrainer(trainerConfig.parse({ argv: [...options, '--role', 'api'] }), { processMetrics: false });
    const api = connectTrainer(`127.0.0.1:${trainer.port}`);
    const run = (model: string, inputSize: number) =>
      RunSpec.fromPartial({ model, inputSize, trainManifest: images, batchSize: 2, epochs: 1, warmupEpochs: 0, mixup: 0, cutmix: 0 });
    await manyTimes(runs, (i) => api.createRun({ parent, runId: `r${i}`, spec: run('vit_micro_p8', 32) }, soon));
    const watched = await api.getRun({ name: `${parent}/runs/r0` }, soon);
    await fillLog(storeFolder, watched.run!);
    // Then a watch ends by itself, after all of the log.
    await api.cancelRun({ name: watched.run!.name }, soon);
    api.close();
    await hold('trainer', trainer, {
      [`ListRuns ${runs}`]: { method: 'listRuns', request: { parent, pageSize: 1000 } },
      'CreateRun vit_large': { method: 'createRun', request: { parent, spec: run('vit_large', 224), validateOnly: true } },
      'CreateRun convnext_base': { method: 'createRun', request: { parent, spec: run('convnext_base', 224), validateOnly: true } },
      [`WatchRun of ${watchedRecords} records`]: { method: 'watchRun', request: { name: `${parent}/runs/r0` }, together: 8 },
    });

    const evaluator = await startEvaluator(evaluatorConfig.parse({ argv: [...options, '--role', 'api'] }), { processMetrics: false });
    await createEvaluations(storeFolder);
    await hold('evaluator', evaluator, {
      [`ListEvaluations 1000 of ${evaluations}`]: { method: 'listEvaluations', request: { parent, pageSize: 1000 } },
    });
    return results;
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function done(load: ChildProcess): Promise<LoadDone> {
  const [answer] = (await once(load, 'message')) as [LoadDone];
  return answer;
}

async function manyTimes(count: number, call: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await call(next++);
  };
  await Promise.all(Array.from({ length: 32 }, worker));
}

/** Appends what a worker would have written in a long training. */
async function fillLog(storeFolder: string, { name, uid }: Run): Promise<void> {
  const store = await openStore(storeFolder);
  const log = openRunLog(store, { project: 'bench', id: name.split('/').at(-1)!, uid });
  await log.refresh();
  for (let k = 0; k < watchedRecords; k++) {
    const steps = Array.from({ length: stepsOfRecord }, (_, i) =>
      StepMetrics.fromPartial({ step: BigInt(k * stepsOfRecord + i), loss: 6.9, lr: 1e-3, gradNorm: 1.5 }),
    );
    await log.append(() => ({ body: { $case: 'steps', value: { steps } } }));
  }
  await store.close();
}

/** Evaluations of a checkpoint that does not exist: lists do not look at it. */
async function createEvaluations(storeFolder: string): Promise<void> {
  const store = await openStore(storeFolder);
  const writer = new Evaluations({ store, watchPollMs: 1000, onError: (error) => console.error(error) });
  const spec = { checkpoint: `${parent}/runs/r1/checkpoints/epoch-1` };
  await manyTimes(evaluations, (i) => {
    const id = `e${i}`;
    const evaluation = Evaluation.fromPartial({ name: `${parent}/evaluations/${id}`, state: EvaluationState.PENDING, spec });
    const request = { project: 'bench', id, evaluation, specDigest: id, requestId: '', runUid: '0'.repeat(32) };
    return writer.create(request, AbortSignal.timeout(60_000));
  });
  writer.close();
  await store.close();
}

/** SHA-256 of the manifests of a set of images, and of one with many classes. */
async function datasets(folder: string, storeFolder: string): Promise<{ images: string; many: string }> {
  const [images, many] = [join(folder, 'images'), join(folder, 'many')];
  writeImageFolder(images, { perClass: 30, size: 300 });
  const png = encodePng(new Uint8Array(3 * 8 * 8), 8, 8, 'hwc');
  for (let i = 0; i < classes; i++) {
    const path = join(many, `class of images number ${String(i).padStart(6, '0')}`);
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, '0.png'), png);
  }
  const store = await openStore(storeFolder);
  const roots = await AllowedRoots.open([folder]);
  const sha256: string[] = [];
  for (const path of [images, many]) {
    const dataset = await indexDataset(roots, path);
    await saveManifest(store, dataset, 'bench');
    sha256.push(dataset.sha256);
  }
  await store.close();
  return { images: sha256[0]!, many: sha256[1]! };
}
