/**
 * npm run bench:loop: how long the event loop of each service is held up by its heaviest calls; and that of a worker by a large model, phase by
 * phase, while the run starts, trains, saves and resumes with a lease of 3 s and another worker that would take it over at once.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { openStore } from '#storage/open-store.js';
import { type ServiceName, startService } from '../support/processes.js';
import { writeTinyDataset } from '../support/tiny-dataset.js';
import { connectTrainer } from '../support/training.js';
import type { PhaseDelay } from './loop-delay.js';
import { ownMaxMs, watchMachine } from './loop-machine.js';
import { fillMemory } from './loop-memory.js';
import { benchServices } from './loop-services.js';
import { startMeasuredWorker } from './loop-worker.js';

const usage = `npm run bench:loop -- [options]

  --part NAME        services, worker or all (default all)
  --seconds N        length of each case of the services (default 10)
  --model NAME       (default vit_large: 303 million parameters, about 15 GB of memory and 8 GB of disk)
  --image_size N     side of the images in pixels (default 224)
  --minutes N        the longest that a phase of the run may take (default 20)

Each service runs in this process while another process makes its heaviest calls. Then a worker, a process of its own, trains steps of one image until the first checkpoint is saved and gives the run back; another one resumes it and does the same. The
phase "checkpoint" has the saves and the steps beside them; "machine" is an idle loop while two threads fill most of the free memory, before the
others. Nothing else should run meanwhile. The last line is one JSON object: for each phase its seconds, the delays of the event loop in milliseconds
(the largest and percentiles), and ownMaxMs, the largest without the time in which a core of the machine stood still, as a process of the highest
priority on every core finds (Linux, as root).`;

const parent = 'projects/bench';
const soon = { timeoutMs: 30_000 };
const lease = ['--poll-ms', '500', '--lease-ttl-ms', '3000'];

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
    await saveManifest(store, dataset, 'bench');

    const spawn = (name: ServiceName, argv: string[]) =>
      startService({ after: (end) => ends.push(end as () => unknown) }, name, ['--store', storeFolder, ...argv]);
    const data = await spawn('data', ['--root', folder]);
    const api = connectTrainer((await spawn('trainer', ['--role', 'api'])).address);
    ends.push(() => api.close());
    const asked = { model, inputSize, trainManifest: dataset.sha256, batchSize: 1, epochs: 1000, saveCkptFreq: 1, saveCkptNum: 1 };
    const spec = RunSpec.fromPartial({ ...asked, warmupEpochs: 0, mixup: 0, cutmix: 0, reprob: 0 });
    // It is stopped whenever nobody holds the run, and started once, since a start takes a core for seconds.
    const waiting = (await spawn('trainer', ['--role', 'worker', '--data', data.address, ...lease])).process;
    waiting.kill('SIGSTOP');
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
    const attempt = async (number: number, start: 'initialise' | 'resume') => {
      const machine = await fillMemory();
      const watched = await watchMachine();
      const worker = await startMeasuredWorker(start, ['--store', storeFolder, '--data', data.address, ...lease]);
      ends.push(() => worker.kill());
      await watch((event) => event.$case === 'claimed' && event.value.attempt === number);
      waiting.kill('SIGCONT');
      let mine = false;
      const events = await watch((event) => {
        if (event.$case === 'claimed') mine = event.value.attempt === number;
        return mine && event.$case === 'checkpoint';
      });
      waiting.kill('SIGSTOP');
      const measured = await worker.end();
      const stalls = await watched?.end();
      const own = ([phase, delay]: [string, PhaseDelay]) => {
        const lates = measured.lates.filter((late) => late.phase === phase);
        return [phase, { ...delay, ownMaxMs: stalls === undefined ? null : ownMaxMs(delay, lates, stalls) }];
      };
      const owners = events.flatMap(({ event }) => (event?.$case === 'claimed' ? [event.value.worker.split(':').at(-2)] : []));
      return {
        threads: measured.threads,
        phases: { machine, ...Object.fromEntries(Object.entries(measured.phases).map(own)) },
        takenOver: owners.at(-1) !== `${worker.pid}`,
      };
    };
    const first = await attempt(1, 'initialise');
    const resumed = await attempt(2, 'resume');
    const { parameters } = (await api.getRun({ name }, soon)).run!;
    return {
      model,
      parameters: Number(parameters),
      threads: first.threads,
      takenOver: first.takenOver || resumed.takenOver,
      first: first.phases,
      resumed: resumed.phases,
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
