/** npm run test:drain: a worker gets SIGTERM in the middle of a step of a large model, and another one carries the run on. */
import { parseArgs } from 'node:util';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { engines, precisions } from '#spec/words.js';
import { startMinio } from '../support/minio.js';
import { demandingSpec, makeWorkspace } from '../support/training.js';
import { evictedRun } from './evicted-run.js';

const usage = `npm run test:drain -- [options]

  --model NAME        (default vit_base)
  --image_size N      side of the images in pixels (default 224)
  --batch_size N      images of a micro-batch (default 16)
  --update_freq N     micro-batches of a step (default 24, for steps of about a minute on two cores)
  --precision NAME    fp32 or bf16 (default fp32)
  --engine NAME       (default native)
  --store NAME        minio or directory (default directory)
  --stop_step_ms N    of the workers (default: theirs)
  --seconds N         how long a worker may take to end (default 25)

Trains two steps undisturbed, and two again of which the second is interrupted in its middle. The last line is one JSON object; the exit status is 1 if
a worker took too long or did not end with 0, or if the runs differ in any bit.`;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'vit_base' },
    image_size: { type: 'string', default: '224' },
    batch_size: { type: 'string', default: '16' },
    update_freq: { type: 'string', default: '24' },
    precision: { type: 'string', default: 'fp32' },
    engine: { type: 'string', default: 'native' },
    store: { type: 'string', default: 'directory' },
    stop_step_ms: { type: 'string' },
    seconds: { type: 'string', default: '25' },
    help: { type: 'boolean', default: false },
  },
});

async function main(): Promise<boolean> {
  const ends: (() => unknown)[] = [];
  const owner = { after: (end: () => unknown) => void ends.push(end) };
  try {
    const env: Record<string, string> = {};
    let store: string | undefined;
    if (values.store === 'minio') {
      const minio = await startMinio();
      if ('skip' in minio) throw new Error(minio.skip);
      owner.after(() => minio.stop());
      Object.assign(process.env, minio.env);
      store = await minio.createBucket('drain');
    }
    const images = Number(values.batch_size) * Number(values.update_freq);
    const workspace = await makeWorkspace(owner, {
      train: images,
      env: { ...process.env, ...env } as Record<string, string>,
      ...(store && { store }),
    });
    const spec = demandingSpec(workspace, {
      model: values.model,
      engine: engines.fromWord(values.engine as 'native') ?? Engine.NATIVE,
      precision: precisions.fromWord(values.precision as 'fp32'),
      inputSize: Number(values.image_size),
      batchSize: Number(values.batch_size),
      updateFreq: Number(values.update_freq),
      epochs: 2,
      warmupEpochs: 0,
      cutoffEpoch: 1,
      saveCkptSeconds: 0,
      // The worker that leaves has a step to save.
      saveCkptFreq: 2,
      saveCkptNum: 1,
    });
    const argv = values.stop_step_ms === undefined ? [] : ['--stop-step-ms', values.stop_step_ms];
    const say = (text: string): void => console.error(text);
    const run = await evictedRun(owner, workspace, spec, { after: [0], argv, limitMs: 3_600_000, say });
    const { model, precision, engine, store: kind } = values;
    console.log(JSON.stringify({ model, precision, engine, store: kind, images, ...run }));
    return run.wrong.length === 0 && run.evictions.every(({ seconds }) => seconds <= Number(values.seconds));
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

if (values.help) console.log(usage);
else if (!(await main())) process.exitCode = 1;
