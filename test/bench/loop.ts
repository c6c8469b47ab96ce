/**
 * npm run bench:loop: how long the event loop of each service is held up by its heaviest calls; and that of a worker by a large model, phase by
 * phase, while the run starts, trains, saves and resumes with a lease of 3 s and another worker that would take it over at once.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Registry } from 'prom-client';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { engineInfo } from '#native/addon.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { openStore } from '#storage/open-store.js';
import { createLogger } from '#telemetry/logger.js';
import { trainerConfig } from '../../services/trainer/config.js';
import { createTrainerMetrics } from '../../services/trainer/metrics.js';
import { createRunWorker } from '../../services/trainer/worker/run-worker.js';
import { type ServiceName, startService } from '../support/processes.js';
import { writeTinyDataset } from '../support/tiny-dataset.js';
import { connectTrainer } from '../support/training.js';
import { LoopDelay } from './loop-delay.js';
import { benchServices } from './loop-services.js';

const usage = `npm run bench:loop -- [options]

  --part NAME        services, worker or all (default all)
  --seconds N        length of each case of the services (default 10)
  --model NAME       (default vit_large: 303 million parameters, about 15 GB of memory and 8 GB of disk)
  --image_size N     side of the images in pixels (default 224)
  --minutes N        the longest that a phase of the run may take (default 20)

Each service runs in this process while another process makes its heaviest calls. Then a worker trains steps of one image until the first checkpoint is saved and gives the run back; another one resumes it and does the same. The
phase "checkpoint" has the saves and the steps beside them. Nothing else should run meanwhile. The last line is one JSON object: for each phase its seconds, and the largest and the 99.9th percentile of the delays of the
event loop in milliseconds.`;

const parent = 'projects/bench';
const soon = { timeoutMs: 30_000 };
const lease = ['--poll-ms', '500', '--lease-ttl-ms', '3000'];
const idleMs = 2000;

async function bench(model: string, inputSize: number, patienceMs: number): Promise<object> {
  const ends: (() => unknown)[] = [];
  try {
    const folder = await mkdtemp(join(tmpdir(), 'bench-loop-'));
    ends.push(() => rm(folder, { recursive: true, force: true }));
    const storeFolder = join(folder, 'store');
    const store = await openStore(storeFolder);
    ends.push(() => store.close());
    // One step to an epoch: a checkpoint after every step.
    const images = writeTinyDataset(join(folder, 'images'), { train: 1, test: 1, classes: 1 });
    const dataset = await indexDataset(await AllowedRoots.open([folder]), images, { split: 'train' });
    await saveManifest(store, dataset);

    const spawn = (name: ServiceName, argv: string[]) =>
      startService({ after: (end) => ends.push(end as () => unknown) }, name, ['--store', storeFolder, ...argv]);
    const data = await spawn('data', ['--root', folder]);
    const api = connectTrainer((await spawn('trainer', ['--role', 'api'])).address);
    ends.push(() => api.close());
    const asked = { model, inputSize, trainManifest: dataset.sha256, batchSize: 1, epochs: 1000, saveCkptFreq: 1, saveCkptNum: 1 };
    const spec = RunSpec.fromPartial({ ...asked, warmupEpochs: 0, mixup: 0, cutmix: 0, reprob: 0 });
    const { run } = await api.createRun({ parent, runId: 'large', spec }, soon);
    const name = run!.name;
    const watch = async (until: (event: NonNullable<RunEvent['event']>) => boolean): Promise<RunEvent[]> => {
      const events: RunEvent[] = [];
      for await (const { event } of api.watchRun({ name }, { timeoutMs: patienceMs })) {
        if (event === undefined) continue;
        events.push(event);
        if (event.event && until(event.event)) break;
      }
      return events;
    };

    const loop = new LoopDelay('idle');
    ends.push(() => loop.close());
    await delay(idleMs);
    /** A worker in this process; its own log and metrics tell where one phase ends and the next one begins. */
    const startWorker = (start: 'initialise' | 'resume') => {
      const phaseOf: Record<string, string> = { 'the model is compiled': start, training: 'steps' };
      const destination = {
        write: (line: string) => {
          const phase = phaseOf[(JSON.parse(line) as { msg: string }).msg];
          if (phase !== undefined) loop.begin(phase);
        },
      };
      const metrics = createTrainerMetrics(new Registry());
      const trained = metrics.observeStep;
      const worker = createRunWorker({
        store,
        config: trainerConfig.parse({ argv: ['--store', storeFolder, '--data', data.address, ...lease] }),
        evaluator: undefined,
        scheduler: undefined,
        metrics: {
          ...metrics,
          observeStep: (...step) => {
            trained(...step);
            loop.begin('checkpoint');
          },
        },
        logger: createLogger({ service: 'trainer', level: 'info', format: 'json', destination }),
      });
      loop.begin('compile');
      worker.start();
      ends.push(() => worker.stop());
      return worker;
    };
    const attempt = async (number: number, start: 'initialise' | 'resume'): Promise<RunEvent[]> => {
      const worker = startWorker(start);
      await watch((event) => event.$case === 'claimed' && event.value.attempt === number);
      const waiting = await spawn('trainer', ['--role', 'worker', '--data', data.address, ...lease]);
      let mine = false;
      const events = await watch((event) => {
        if (event.$case === 'claimed') mine = event.value.attempt === number;
        return mine && event.$case === 'checkpoint';
      });
      await waiting.end('SIGTERM');
      await worker.stop();
      return events;
    };
    await attempt(1, 'initialise');
    const events = await attempt(2, 'resume');
    const phases = loop.close();

    const owners = events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value.worker.split(':').at(-2)] : []));
    const { parameters } = (await api.getRun({ name }, soon)).run!;
    return {
      model,
      parameters: Number(parameters),
      threads: engineInfo().threads,
      takenOver: owners.some((pid) => Number(pid) !== process.pid),
      phases,
    };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: 'all' },
    seconds: { type: 'string', default: '10' },
    model: { type: 'string', default: 'vit_large' },
    image_size: { type: 'string', default: '224' },
    minutes: { type: 'string', default: '20' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(usage);
else {
  const services = values.part === 'worker' ? undefined : await benchServices(Number(values.seconds));
  const worker =
    values.part === 'services' ? undefined : await bench(values.model, Number(values.image_size), 60_000 * Number(values.minutes));
  console.log(JSON.stringify({ services, ...worker }));
}
