/** The number of series does not grow with the runs that a process has had: a scraper would keep every one of them for weeks. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import type { RunningService } from '#rpc/start-service.js';
import { follow, type Trainer, TrainingServices } from '../support/training-services.js';

/** More take longer, and say more: DROPSTREAM_MANY_RUNS=500. */
const RUNS = Number(process.env.DROPSTREAM_MANY_RUNS ?? 100);
/** Runs that wait or train at a time. */
const AT_ONCE = 4;
/** More values than any label has whose values are words of ours: methods, outcomes, statuses, bounds of buckets. */
const MOST_VALUES = 60;

let services: TrainingServices;
let trainer: Trainer;
const processes: RunningService[] = [];

before(async () => {
  services = await TrainingServices.open({ train: 8, test: 8 });
  const data = await services.dataReplica();
  const evaluator = await services.evaluator(['--role', 'all', '--data', data.address]);
  const all = await services.trainer(['--role', 'all', '--data', data.address, '--evaluator', evaluator.address]);
  trainer = all.client;
  processes.push(data.service, evaluator.service, all.service);
});
after(() => services.close());

/** The series of all processes: names with labels. */
async function series(): Promise<string[]> {
  const pages = await Promise.all(
    processes.map(async ({ adminPort }) => await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()),
  );
  return pages.flatMap((page) => page.split('\n').flatMap((line) => /^[^#\s]\S*(?:\{.*\})?(?= )/.exec(line)?.[0] ?? []));
}

/** Values of each label of each metric. */
function valuesOf(found: readonly string[]): Map<string, Set<string>> {
  const values = new Map<string, Set<string>>();
  for (const one of found) {
    const metric = one.split('{')[0]!;
    for (const [, label, value] of one.matchAll(/(\w+)="([^"]*)"/g)) {
      const key = `${metric} ${label}`;
      values.set(key, (values.get(key) ?? new Set()).add(value!));
    }
  }
  return values;
}

test('many runs, of which some fail and some are evaluated, leave no series behind', { timeout: 600_000 }, async () => {
  const trainOne = async (k: number): Promise<RunState> => {
    const spec = services.spec({
      epochs: 1,
      batchSize: 8,
      warmupEpochs: 0,
      ...(k % 50 === 1 ? { lr: 1e30, epochs: 3 } : {}),
      ...(k % 25 === 0 ? { evalManifest: services.evalManifest } : { saveCkpt: false, disableEval: true }),
    });
    const { run } = await trainer.createRun({ parent: 'projects/default', runId: `many-${k}`, spec }, { timeoutMs: 30_000 });
    let state = RunState.QUEUED;
    for (const { event } of await follow(trainer, run!.name, undefined, 300_000)) if (event?.$case === 'state') state = event.value.state;
    return state;
  };
  const ended = new Map<RunState, number>();
  let next = 0;
  let most = 0;
  const keepBusy = async (): Promise<void> => {
    while (next < RUNS) {
      const k = next++;
      const state = await trainOne(k);
      ended.set(state, (ended.get(state) ?? 0) + 1);
      if (k % 50 === 0) most = Math.max(most, valuesOf(await series()).get('dropstream_run_step run')?.size ?? 0);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, keepBusy));
  assert.equal(
    [...ended.values()].reduce((a, b) => a + b, 0),
    RUNS,
  );
  assert.equal(ended.get(RunState.SUCCEEDED), RUNS - Math.floor((RUNS + 48) / 50), JSON.stringify([...ended]));
  assert.ok(most <= AT_ONCE, 'only runs that are trained have series');

  const left = await series();
  assert.deepEqual(
    left.filter((one) => one.includes('many-')),
    [],
  );
  for (const [label, values] of valuesOf(left)) assert.ok(values.size <= MOST_VALUES, `${label} has ${values.size} values`);
});
