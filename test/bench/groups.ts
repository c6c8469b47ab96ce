/**
 * npm run bench:groups: what the loss of a worker costs a run that several workers compute, and what a second worker gains. Every line is one JSON object.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { collectivesAvailable } from '#collectives/index.js';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { follow, type Trainer, TrainingServices } from '../support/training-services.js';
import { type BenchWorker, benchWorker, lastStep, nextStep, stepsFrom } from './group-worker.js';

const smallModel = 'vit_micro_p8';
const usage = `npm run bench:groups -- [options]

  --part NAME       failures, scaling, or both (default)
  --trials N        kills of each kind (default 3)
  --batch N         images of a leaf; a step has 8 leaves (default 32)
  --model NAME      model, in bf16 (default vit_micro_p8 with images of 32 x 32, whose steps are short; others have the size that they are made for)
  --seconds N       length of each measurement of images per second (default 8)
  --silence-ms N    --member-silence-ms of the workers (default 2000)

failures: three single-threaded workers; a member, or the leader, is killed (SIGKILL), or a member is frozen (SIGSTOP), somewhere in a step. \`seconds\` is
the time from the signal to the end of the next step; \`noticed_seconds\` that until the leader counts the member as lost, and \`generation_seconds\` until those
that are left have connected; \`step_seconds\` is what a step takes before that, and \`recomputed\` the leaves that were computed again.
scaling: images per second of two single-threaded workers, and of one with two threads.`;

const { values } = parseArgs({
  options: {
    part: { type: 'string', default: 'both' },
    trials: { type: 'string', default: '3' },
    batch: { type: 'string', default: '32' },
    model: { type: 'string', default: smallModel },
    seconds: { type: 'string', default: '8' },
    'silence-ms': { type: 'string', default: '2000' },
    help: { type: 'boolean', default: false },
  },
});
const [trials, batch, seconds] = [values.trials, values.batch, values.seconds].map(Number) as [number, number, number];
const leaves = 8;
const soon = { timeoutMs: 30_000 };
const parent = 'projects/p';

interface Place {
  readonly services: TrainingServices;
  readonly data: string;
  readonly trainer: Trainer;
  readonly ends: (() => Promise<unknown> | unknown)[];
}

const emit = (line: object): void => console.log(JSON.stringify(line));

async function begin({ services, trainer }: Place, runId: string, workers: { min: number; max: number }): Promise<string> {
  const spec: RunSpec = services.spec({
    ...{
      model: values.model,
      inputSize: values.model === smallModel ? 32 : undefined,
      precision: Precision.BF16,
      evalManifest: '',
      epochs: 100_000,
      seed: 7n,
    },
    ...{ batchSize: batch, updateFreq: leaves, dropPath: 0.1, modelEma: true, modelEmaDecay: 0.99, clipGrad: 1, saveCkptFreq: 100_000 },
    workers,
  });
  return (await trainer.createRun({ parent, runId, spec }, soon)).run!.name;
}

function worker({ services, data, ends }: Place, name: string, threads: number): Promise<BenchWorker> {
  const argv = ['--role', 'worker', '--store', services.storeUri, '--data', data, '--instance', name];
  const quick = ['--poll-ms', '50', '--lease-ttl-ms', '2000', '--backoff-ms', '50', '--member-silence-ms', values['silence-ms']];
  return benchWorker({ after: (end: () => Promise<unknown>) => ends.push(end) } as never, name, [...argv, ...quick], threads);
}

async function grouped({ trainer }: Place, name: string, size: number): Promise<string> {
  const events = await follow(trainer, name, ({ event }) => event?.$case === 'group' && event.value.members.length === size, 60_000);
  const group = events.flatMap(({ event }) => (event?.$case === 'group' ? [event.value] : [])).at(-1)!;
  return group.members[0]!.worker;
}

/** One loss in a group of three, of which two go on. */
async function lose(place: Place, what: 'member killed' | 'leader killed' | 'member frozen', trial: number): Promise<void> {
  const names = ['a', 'b', 'c'];
  const run = await begin(place, `${what.replace(' ', '-')}-${trial}`, { min: 1, max: 3 });
  const workers = await Promise.all(names.map((name) => worker(place, `${name}-${trial}-${what[0]}`, 1)));
  const leader = await grouped(place, run, 3);
  const leads = workers.find(({ name }) => name === leader)!;
  const stepSeconds = await stepsFrom(leads, 3);
  const victim = what === 'leader killed' ? leads : workers.find((one) => one !== leads)!;
  // Somewhere else in the step each time.
  await delay(1000 * stepSeconds * ((0.37 * trial) % 1));
  const survivors = workers.filter((one) => one !== victim);
  const before = await Promise.all(survivors.map((one) => one.recomputed()));
  const atMs = Date.now();
  victim.service.process.kill(what === 'member frozen' ? 'SIGSTOP' : 'SIGKILL');
  const next = await nextStep(survivors, atMs);
  const after = await Promise.all(survivors.map((one) => one.recomputed()));
  const recomputed = after.reduce((sum, count, k) => sum + count - before[k]!, 0);
  const lostMs = survivors.flatMap((one) => one.saidMs('a worker of the run is lost')).find((ms) => ms >= atMs);
  emit({
    ...{ case: what, trial, seconds: next.seconds, step_seconds: stepSeconds, recomputed, generation_seconds: next.formedSeconds },
    ...(lostMs && { noticed_seconds: (lostMs - atMs) / 1000 }),
  });
  await place.trainer.cancelRun({ name: run }, soon);
  for (const one of workers) await one.service.end('SIGKILL');
}

async function speed(place: Place, workers: number, threads: number): Promise<number> {
  const run = await begin(place, `speed-${workers}-${threads}`, { min: workers, max: workers });
  const all = await Promise.all(Array.from({ length: workers }, (_, k) => worker(place, `s${workers}-${k}`, threads)));
  await follow(place.trainer, run, ({ event }) => event?.$case === 'steps' && event.value.steps.some(({ step }) => step > 2n), 120_000);
  // From the end of one step to that of another one: a step may be long beside the time that is measured. In between, nobody asks for metrics.
  const first = await lastStep(all);
  await delay(1000 * seconds);
  const last = await lastStep(all);
  if (last.images === first.images) throw new Error(`no step ended within ${seconds} s: give more --seconds, or a smaller --batch`);
  const rate = (1000 * (last.images - first.images)) / (last.atMs - first.atMs);
  await place.trainer.cancelRun({ name: run }, soon);
  for (const one of all) await one.service.end('SIGTERM');
  return rate;
}

async function main(): Promise<void> {
  const found = collectivesAvailable();
  if (!found.available) throw new Error(found.reason);
  const ends: (() => Promise<unknown> | unknown)[] = [];
  const services = await TrainingServices.open({ train: 8 * leaves * batch, test: 20 });
  const place = { services, ends, data: await services.data(), trainer: (await services.trainer(['--role', 'api'])).client };
  try {
    if (values.part !== 'scaling')
      for (const what of ['member killed', 'leader killed', 'member frozen'] as const)
        for (let trial = 1; trial <= trials; trial++) await lose(place, what, trial);
    if (values.part !== 'failures') {
      const one = await speed(place, 1, 2);
      const two = await speed(place, 2, 1);
      emit({ case: 'images per second', one_with_two_threads: one, two_with_one_thread: two, ratio: two / one });
    }
  } finally {
    for (const end of ends) await end();
    await services.close();
  }
}

if (values.help) console.log(usage);
else await main();
