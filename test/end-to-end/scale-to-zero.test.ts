/**
 * Scaling from nothing and back, as KEDA does it for a ScaledJob: a loop asks the scaler with KEDA's own client and starts as many workers as are
 * wanted and not there yet. Workers end by themselves, so nothing ever stops one that works.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { type ServiceProcess, startService } from '../support/processes.js';
import { findTool } from '../support/tool.js';
import { type Evaluator, type Trainer, TrainingServices } from '../support/training-services.js';
import { until } from '../support/until.js';

const tool = await findTool('keda-scaler-client');
const skip = 'skip' in tool ? tool.skip : false;
const soon = { timeoutMs: 20_000 };
const parent = 'projects/p';
const quick = ['--poll-ms', '100', '--lease-ttl-ms', '5000', '--backoff-ms', '50', '--exit-when-idle', '1'];

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
let scaler: string;
let dataAddress: string;
let evaluatorAddress: string;
before(async () => {
  if (skip !== false) return;
  services = await TrainingServices.open();
  dataAddress = await services.data();
  const startedEvaluator = await services.evaluator(['--role', 'api', '--data', dataAddress]);
  [evaluator, evaluatorAddress] = [startedEvaluator.client, startedEvaluator.address];
  const started = await services.trainer(['--role', 'api', '--data', dataAddress, '--evaluator', evaluatorAddress]);
  trainer = started.client;
  scaler = `127.0.0.1:${started.service.port}`;
});
after(async () => await services?.close());

interface Answer {
  readonly active: boolean;
  readonly wanted: number;
}

/** What KEDA's client is told: IsActive, and the replicas that follow from GetMetrics and GetMetricSpec. */
async function askAsKeda(part: string, metric: string): Promise<Answer> {
  const argv = [scaler, 'workers', 'training', metric, `scalerAddress=${scaler}`, `part=${part}`, 'targetPerReplica=1'];
  const { stdout } = await promisify(execFile)('path' in tool ? tool.path : '', argv, { timeout: 30_000 });
  const replies = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { call: string; reply: Record<string, never> });
  const of = (call: string) => replies.find((reply) => reply.call === call)!.reply as unknown as Record<string, unknown>;
  const [spec] = of('GetMetricSpec').metricSpecs as { metricName: string; targetSizeFloat: number }[];
  const [value] = of('GetMetrics').metricValues as { metricName: string; metricValueFloat: number }[];
  assert.deepEqual([spec!.metricName, value!.metricName], [metric, metric]);
  return { active: of('IsActive').result as boolean, wanted: Math.ceil(value!.metricValueFloat / spec!.targetSizeFloat) };
}

/** KEDA asks two times, and work may end between IsActive and GetMetrics: answers that do not agree are asked for again. */
const agreed = async (part: string, metric: string): Promise<Answer> =>
  await until(
    'IsActive to agree with GetMetrics',
    async () => {
      const answer = await askAsKeda(part, metric);
      return answer.active === answer.wanted > 0 && answer;
    },
    { looks: 20, pauseMs: 100 },
  );

/** A ScaledJob: its loop starts workers and never ends one. */
function scaledJob(
  part: 'trainer-worker' | 'evaluator-worker',
  metric: string,
  service: 'trainer' | 'evaluator',
  argv: string[],
  max: number,
) {
  const exits: (number | string)[] = [];
  const running = new Set<Promise<void>>();
  const seen: { wanted: number; running: number }[] = [];
  const owner = { after: () => {} };
  const workers: ServiceProcess[] = [];
  const start = async (): Promise<void> => {
    const worker = await startService(owner, service, ['--store', services.storeUri, '--role', 'worker', ...quick, ...argv]);
    workers.push(worker);
    if (worker.process.exitCode === null && worker.process.signalCode === null) await once(worker.process, 'exit');
    exits.push(worker.process.exitCode ?? worker.process.signalCode!);
  };
  return {
    exits,
    seen,
    poll: async (): Promise<void> => {
      const { active, wanted } = await agreed(part, metric);
      const missing = active ? Math.min(wanted, max) - running.size : 0;
      for (let k = 0; k < missing; k++) {
        const one: Promise<void> = start().finally(() => running.delete(one));
        running.add(one);
      }
      seen.push({ wanted, running: running.size });
    },
    isAtRest: () => running.size === 0 && seen.at(-1)?.wanted === 0,
    kill: () => {
      for (const { process } of workers) process.kill('SIGKILL');
    },
  };
}

test('from 0 workers to 3 and back, with runs and evaluations, and no worker is ended while it works', {
  skip,
  timeout: 300_000,
}, async (t) => {
  const trainers = scaledJob(
    ...(['trainer-worker', 'dropstream-trainer-workers', 'trainer'] as const),
    ['--data', dataAddress, '--evaluator', evaluatorAddress],
    3,
  );
  const evaluators = scaledJob('evaluator-worker', 'dropstream-evaluator-workers', 'evaluator', ['--data', dataAddress], 2);
  for (const { kill } of [trainers, evaluators]) t.after(kill);
  await trainers.poll();
  await evaluators.poll();
  assert.deepEqual([trainers.seen, evaluators.seen], [[{ wanted: 0, running: 0 }], [{ wanted: 0, running: 0 }]]);

  const names: string[] = [];
  for (let k = 0; k < 5; k++) {
    const spec = services.spec({ evalManifest: services.evalManifest, epochs: 2 });
    const { run } = await trainer.createRun({ parent, runId: `r${k}`, spec }, soon);
    names.push(run!.name);
  }
  await trainers.poll();
  assert.deepEqual(trainers.seen.at(-1), { wanted: 5, running: 3 });
  while (!trainers.isAtRest() || !evaluators.isAtRest()) {
    await Promise.all([trainers.poll(), evaluators.poll()]);
    await delay(500);
  }

  for (const name of names) {
    const { run } = await trainer.getRun({ name }, soon);
    // One claim each: nobody was ended in the middle, and nobody took anything over.
    assert.deepEqual([run!.state, run!.attempt, run!.evaluationsSucceeded], [RunState.SUCCEEDED, 1, 2], `${name} ${run!.failure}`);
  }
  const { evaluations } = await evaluator.listEvaluations({ parent }, soon);
  assert.ok(evaluations.length === 10 && evaluations.every(({ state }) => state === EvaluationState.SUCCEEDED));
  for (const { exits, seen } of [trainers, evaluators]) {
    assert.ok(exits.length > 0 && exits.every((code) => code === 0), exits.join());
    assert.ok(seen.some(({ running }) => running > 0));
  }
  assert.equal(Math.max(...trainers.seen.map(({ running }) => running)), 3);
  t.diagnostic(
    `trainers ${JSON.stringify(trainers.seen.map(({ wanted, running }) => `${wanted}/${running}`))}, ${trainers.exits.length} processes`,
  );
  t.diagnostic(
    `evaluators ${JSON.stringify(evaluators.seen.map(({ wanted, running }) => `${wanted}/${running}`))}, ${evaluators.exits.length} processes`,
  );
});
