/** A run with an adaptive cutoff whose worker and evaluator are killed has the bits and the decisions of one that nothing disturbs. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { collectivesAvailable } from '#collectives/index.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { type CutoffMeasuredRecord, type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { type ServiceProcess, startService } from '../support/processes.js';
import { connectTrainer, demandingSpec, follow, history, makeWorkspace, resumes, startData, startTrainer } from '../support/training.js';
import { until } from '../support/until.js';

const parent = 'projects/test';
const soon = { timeoutMs: 30_000 };
/** For a whole run, on a machine that may be busy. */
const longMs = 280_000;
const epochs = 8;
const stepsPerEpoch = 8;

/** What the log says of the cutoff; the names of evaluation and checkpoint are those of the run. */
const decisionsOf = (events: readonly RunEvent[]): Omit<CutoffMeasuredRecord, 'checkpoint' | 'evaluation'>[] =>
  events.flatMap(({ event }) => {
    if (event?.$case !== 'cutoffMeasured') return [];
    const { checkpoint: _, evaluation: __, ...decision } = event.value;
    return [decision];
  });

/** Store, data and api, and what starts the others. */
async function fleet(t: TestContext) {
  const workspace = await makeWorkspace(t, { train: 512, test: 20 });
  const data = await startData(t, workspace);
  const api = await startTrainer(t, workspace, [data], ['--role', 'api']);
  const trainer = connectTrainer(api.address);
  t.after(() => trainer.close());
  let port = 0;
  const startEvaluator = async (): Promise<ServiceProcess> => {
    const quick = ['--poll-ms', '50', '--lease-ttl-ms', '1500', '--backoff-ms', '50'];
    const argv = ['--store', workspace.store, '--data', data.address, '--port', String(port), ...quick];
    const started = await startService(t, 'evaluator', argv);
    port = Number(started.address.split(':').at(-1));
    return started;
  };
  return {
    trainer,
    startEvaluator,
    startWorker: (...argv: string[]): Promise<ServiceProcess> =>
      startTrainer(t, workspace, [data], ['--role', 'worker', '--evaluator', `127.0.0.1:${port}`, ...argv]),
    create: async (runId: string, part: Partial<RunSpec> = {}): Promise<string> => {
      const spec = demandingSpec(workspace, {
        epochs,
        batchSize: 32,
        updateFreq: 2,
        dropPath: 0.6,
        dropSchedule: DropSchedule.CONSTANT,
        cutoffEpoch: epochs,
        cutoff: DropCutoff.ADAPTIVE,
        cutoffEvery: 1,
        cutoffBatches: 6,
        cutoffPatience: 2,
        saveCkptFreq: 2,
        saveCkptNum: 1,
        saveCkptSeconds: 0,
        ...part,
      });
      return (await trainer.createRun({ parent, runId, spec }, soon)).run!.name;
    },
    /** SHA-256 of the files of the last checkpoint. */
    filesOf: async (name: string): Promise<string[]> => {
      const { run } = await trainer.getRun({ name }, soon);
      assert.equal(run?.state, RunState.SUCCEEDED, run?.failure);
      const { checkpoint } = await trainer.getCheckpoint({ name: `${name}/checkpoints/latest` }, soon);
      return checkpoint!.files.map(({ role, sha256 }) => `${role} ${Buffer.from(sha256).toString('hex')}`).sort();
    },
  };
}

/** What must be equal of two histories, step by step. */
const exact = (events: readonly RunEvent[]) =>
  [...history(events)].map(([step, { loss, gradNorm, dropRate, batchSha256 }]) => [step, loss, gradNorm, dropRate, batchSha256]);

/** A run that nothing disturbs. */
async function calmRun({ trainer, create, startWorker }: Awaited<ReturnType<typeof fleet>>): Promise<{ name: string; events: RunEvent[] }> {
  const name = await create('calm');
  const worker = await startWorker();
  const events = await follow(trainer, name, undefined, longMs);
  assert.equal(await worker.end('SIGTERM'), 0);
  const decisions = decisionsOf(events);
  const end = Number(decisions.at(-1)?.endsAtStep ?? 0);
  assert.ok(end > 0 && end < epochs * stepsPerEpoch, `the drop did not end: ${inspect(decisions)}`);
  for (const [step, { dropRate }] of history(events)) assert.equal(dropRate, step < end ? 0.6 : 0, `rate of step ${step}`);
  assert.equal(history(events).size, epochs * stepsPerEpoch);
  return { name, events };
}

test('worker and evaluator killed around the measurements: equal losses, weights and decisions', { timeout: 600_000 }, async (t) => {
  const parts = await fleet(t);
  const { trainer, create, startWorker, startEvaluator, filesOf } = parts;
  let evaluator = await startEvaluator();
  const calm = await calmRun(parts);

  // Killed: the worker after the first decision, the evaluator after the second checkpoint that is measured, and the worker after the last decision.
  const name = await create('disturbed');
  let worker = await startWorker();
  let changing: Promise<void> = Promise.resolve();
  const restart = (what: () => Promise<void>): void => {
    changing = changing.then(what);
  };
  const killWorker = async (): Promise<void> => {
    await worker.end('SIGKILL');
    worker = await startWorker();
  };
  let measured = 0;
  let evaluatorKilled = false;
  const disturbed = await follow(
    trainer,
    name,
    ({ event }) => {
      if (event?.$case === 'cutoffMeasured') {
        measured++;
        if (measured === 1 || event.value.endsAtStep > 0n) restart(killWorker);
      }
      if (event?.$case === 'checkpoint' && Number(event.value.step) === 2 * stepsPerEpoch && !evaluatorKilled) {
        evaluatorKilled = true;
        restart(async () => {
          await evaluator.end('SIGKILL');
          evaluator = await startEvaluator();
        });
      }
    },
    longMs,
  );
  await changing;
  assert.ok(resumes(disturbed).length >= 2, `only ${resumes(disturbed).length} kills met the training`);
  assert.deepEqual(
    decisionsOf(disturbed),
    decisionsOf(calm.events),
    'nothing is measured twice, and everything is decided as without kills',
  );
  assert.deepEqual(exact(disturbed), exact(calm.events));
  assert.deepEqual(await filesOf(name), await filesOf(calm.name));
  // Those that look for work leave marks in the store, which is removed first.
  await Promise.all([worker.end('SIGTERM'), evaluator.end('SIGTERM')]);
});

const found = collectivesAvailable();

test('a group of workers that has to wait for a measurement and loses its leader meanwhile: the bits and decisions of one worker', {
  skip: found.available ? false : `no Gloo: ${found.reason}`,
  timeout: 600_000,
}, async (t) => {
  const parts = await fleet(t);
  const { trainer, create, startWorker, startEvaluator, filesOf } = parts;
  const evaluator = await startEvaluator();
  const calm = await calmRun(parts);
  await evaluator.end('SIGKILL');

  const name = await create('grouped', { workers: { min: 2, max: 2 } });
  const silenceMs = 2000;
  const workers = new Map<string, ServiceProcess>();
  const join = async (instance: string): Promise<void> => {
    workers.set(instance, await startWorker('--instance', instance, '--member-silence-ms', String(silenceMs)));
  };
  await Promise.all([join('a'), join('b')]);
  const following = follow(trainer, name, undefined, longMs);
  await until('the wait', async () => (await trainer.getRun({ name }, soon)).run?.statusMessage.includes('waits before step 16') ?? false, {
    looks: 600,
    pauseMs: 100,
  });
  // Whoever waits is still there.
  await delay(2 * silenceMs);
  const leader = await leaderOf();
  await workers.get(leader)!.end('SIGKILL');
  workers.delete(leader);
  const [again] = await Promise.all([startEvaluator(), join('c')]);
  const events = await following;
  assert.deepEqual(decisionsOf(events), decisionsOf(calm.events));
  assert.deepEqual(exact(events), exact(calm.events));
  assert.deepEqual(await filesOf(name), await filesOf(calm.name));
  const went = events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value.inMemory] : []));
  assert.deepEqual(went, [true], 'the other worker went on from memory');
  await Promise.all([again, ...workers.values()].map((one) => one.end('SIGTERM')));

  async function leaderOf(): Promise<string> {
    let leader = '';
    for await (const { event } of trainer.watchRun({ name }, { timeoutMs: 10_000 })) {
      if (event?.event?.$case === 'group') leader = event.event.value.members[0]!.worker;
      if (event?.event?.$case === 'status' && event.event.value.message.includes('waits before step 16')) break;
    }
    assert.ok(workers.has(leader), `${leader} leads`);
    return leader;
  }
});
