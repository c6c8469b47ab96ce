// Quotas of projects at the trainer, through real gRPC: what they refuse, in which words, and how far calls at the same time get beyond them.
import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ResourceExhausted } from '#errors/errors.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { follow, type Trainer, TrainingServices } from '../../test/support/training-services.js';
import { until } from '../../test/support/until.js';

const soon = { timeoutMs: 30_000 };
const timeout = 120_000;

let services: TrainingServices;
before(async () => {
  services = await TrainingServices.open({ train: 48, test: 20 });
});
after(() => services.close());

let files = 0;
const newFile = (content: object): string => {
  const path = join(services.folder, `quotas-${++files}.json`);
  writeFileSync(path, JSON.stringify({ version: 1, ...content }));
  return path;
};
const create = (trainer: Trainer, project: string, runId = '', more = {}) =>
  trainer.createRun({ parent: `projects/${project}`, runId, spec: services.spec({ epochs: 1 }), ...more }, soon);

function refuses(quota: string, limit: number, project: string) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof ResourceExhausted, String(error));
    assert.equal(error.retryAfterMs, undefined, 'waiting alone does not help');
    assert.match(error.message, new RegExp(`"${quota}" of project ${project} .*the limit is ${limit} .*and \\d+ are in use: .+`));
    return true;
  };
}

test('stored and waiting runs are limited for each project; what is deleted or repeated does not count', { timeout }, async () => {
  const path = newFile({ default: { runs: 3, queued: 2 }, projects: { test: { runs: null, queued: null } } });
  const { client } = await services.trainer(['--role', 'api', '--quotas', path]);
  const first = (await create(client, 'p', 'r1', { requestId: 'one' })).run!;
  await create(client, 'p', 'r2');
  await assert.rejects(create(client, 'p', 'r3'), refuses('queued', 2, 'p'));
  await assert.rejects(create(client, 'p', 'r3', { validateOnly: true }), refuses('queued', 2, 'p'));
  assert.equal((await create(client, 'p', 'r1', { requestId: 'one' })).run!.uid, first.uid, 'a repeated request');
  for (let k = 0; k < 4; k++) await create(client, 'test');
  await client.pauseRun({ name: first.name }, soon);
  await create(client, 'p', 'r3');
  await assert.rejects(client.resumeRun({ name: first.name }, soon), refuses('queued', 2, 'p'));
  await client.cancelRun({ name: 'projects/p/runs/r3' }, soon);
  await client.resumeRun({ name: first.name }, soon);
  await client.cancelRun({ name: first.name }, soon);
  await assert.rejects(create(client, 'p', 'r4'), refuses('runs', 3, 'p'));
  await client.deleteRun({ name: first.name }, soon);
  await create(client, 'p', 'r4');
});

test('calls at the same time get no run beyond the quota from one replica, and one more from each further one', { timeout }, async () => {
  const path = newFile({ default: { runs: 5 } });
  const replicas = [
    await services.trainer(['--role', 'api', '--quotas', path]),
    await services.trainer(['--role', 'api', '--quotas', path]),
  ];
  const outcomes = await Promise.allSettled(Array.from({ length: 12 }, (_, k) => create(replicas[0]!.client, 'labels', `one-${k}`)));
  assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 5);
  const both = await Promise.allSettled(Array.from({ length: 24 }, (_, k) => create(replicas[k % 2]!.client, 'pages', `two-${k}`)));
  const created = both.filter(({ status }) => status === 'fulfilled').length;
  assert.ok(created === 5 || created === 6, `${created} were created`);
});

test('a changed file counts soon, and one that cannot be used changes nothing', { timeout }, async () => {
  const path = newFile({ default: { runs: 1 } });
  const { client } = await services.trainer(['--role', 'api', '--quotas', path]);
  await create(client, 'damage', 'a');
  await assert.rejects(create(client, 'damage', 'b'), refuses('runs', 1, 'damage'));
  writeFileSync(path, '{ "version": 1, "default": { "runs": -1 } }');
  // Longer than two looks at the file; nothing but the service's log shows that it was refused.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await assert.rejects(create(client, 'damage', 'b'), refuses('runs', 1, 'damage'));
  renameSync(newFile({ default: { runs: 2 } }), path);
  await until('the quota is larger', () =>
    create(client, 'damage', 'b').then(
      () => true,
      () => false,
    ),
  );
  for (const wrong of [{ default: { run: 1 } }, { default: { weight: 0 } }, { projects: { 'A B': {} } }])
    await assert.rejects(services.trainer(['--quotas', newFile(wrong), '--role', 'api']), /--quotas/);
});

test('checkpoints are limited by their bytes, and watches by their number', { timeout }, async () => {
  const path = newFile({ projects: { filters: { checkpoint_bytes: 1, streams: 2 } } });
  const data = await services.data();
  const { client, service } = await services.trainer(['--data', data, '--quotas', path]);
  const { run } = await create(client, 'filters', 'first');
  await follow(client, run!.name);
  const checkpoint = `${run!.name}/checkpoints/latest`;
  const { client: evaluator } = await services.evaluator(['--role', 'api', '--quotas', newFile({ default: { queued: 2 } })]);
  const evaluate = (evaluationId: string) => {
    const spec = { checkpoint, manifest: services.evalManifest };
    return evaluator.createEvaluation({ parent: 'projects/filters', evaluationId, spec, requestId: evaluationId }, soon);
  };
  const evaluations = await Promise.allSettled(['a', 'b', 'c', 'd'].map(evaluate));
  assert.equal(evaluations.filter(({ status }) => status === 'fulfilled').length, 2);
  await assert.rejects(evaluate('e'), refuses('queued', 2, 'filters'));
  const kept = (await evaluator.listEvaluations({ parent: 'projects/filters' }, soon)).evaluations.map(({ name }) => name);
  assert.equal((await evaluate(kept[0]!.split('/').at(-1)!)).evaluation!.name, kept[0], 'a repeated request');
  await evaluator.cancelEvaluation({ name: kept[0]! }, soon);
  await evaluate('e');
  // Another process has not counted the bytes yet.
  await service.close();
  const { client: api } = await services.trainer(['--role', 'api', '--quotas', path]);
  await assert.rejects(create(api, 'filters', 'second'), refuses('checkpoint_bytes', 1, 'filters'));

  const waiting = (await create(api, 'chaos', 'waiting')).run!;
  assert.equal(waiting.state, RunState.QUEUED);
  const { client: bound } = await services.trainer(['--role', 'api', '--quotas', newFile({ default: { streams: 2 } })]);
  const watches = [1, 2].map(() => bound.watchRun({ name: waiting.name }, soon)[Symbol.asyncIterator]());
  for (const watch of watches) await watch.next();
  await assert.rejects(bound.watchRun({ name: waiting.name }, soon)[Symbol.asyncIterator]().next(), refuses('streams', 2, 'chaos'));
  await watches[0]!.return?.();
  await until('a place is free', async () => {
    const watch = bound.watchRun({ name: waiting.name }, soon)[Symbol.asyncIterator]();
    const there = await watch.next().then(
      () => true,
      () => false,
    );
    await watch.return?.();
    return there;
  });
  await watches[1]!.return?.();
});

test('real workers start runs of two projects in the ratio of their weights', { timeout }, async () => {
  const own = await TrainingServices.open({ train: 32, test: 20 });
  try {
    const path = join(own.folder, 'quotas.json');
    writeFileSync(path, JSON.stringify({ version: 1, projects: { p: { weight: 2 } } }));
    const { client } = await own.trainer(['--role', 'api']);
    const names: string[] = [];
    for (const [project, count] of [
      ['p', 8],
      ['test', 3],
    ] as const)
      for (let k = 0; k < count; k++) {
        const request = { parent: `projects/${project}`, runId: `r-${k}`, spec: own.spec({ epochs: 1, warmupEpochs: 0 }) };
        names.push((await client.createRun(request, soon)).run!.name);
      }
    await own.trainer(['--data', await own.data(), '--quotas', path]);
    const claims = await Promise.all(
      names.map(async (name) => {
        const events = await follow(client, name, ({ event }) => event?.$case === 'claimed');
        return { project: name.split('/')[1]!, ms: events.at(-1)!.time!.getTime() };
      }),
    );
    const order = claims.sort((a, b) => a.ms - b.ms).map(({ project }) => project);
    assert.deepEqual(order.slice(0, 8), ['p', 'test', 'p', 'p', 'test', 'p', 'p', 'test']);
  } finally {
    await own.close();
  }
});
