// A run over services that all have identities: callers by their tokens, and the services among each other by theirs.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Role } from '#auth/policy.js';
import { createToken } from '#auth/tokens.js';
import { DataServiceClient } from '#protocol/dropstream/v1/data.js';
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect, DataLoss, NotFound, PermissionDenied, Unauthenticated } from '#rpc/client.js';
import { follow, TrainingServices } from '../../test/support/training-services.js';

const soon = { timeoutMs: 20_000 };
const timeout = 120_000;

let services: TrainingServices;
before(async () => {
  services = await TrainingServices.open({ train: 48, test: 20 });
});
after(() => services.close());

test('a run trains and is evaluated; its record names who created it', { timeout }, async () => {
  const tokens = new Map<string, string>();
  const principal = (name: string, grants: Record<string, Role>) => {
    const { id, sha256, text } = createToken();
    tokens.set(name, text);
    return [name, { roles: grants, uris: [], tokens: [{ id, sha256, created: '2026-01-01T00:00:00Z' }] }] as const;
  };
  const principals = [
    principal('sue', { p: 'submitter' }),
    principal('sam', { p: 'submitter' }),
    principal('vic', { p: 'viewer' }),
    principal('outsider', { q: 'operator' }),
    principal('dropstream', { '*': 'service' }),
  ];
  const [identities, tokenFile] = [join(services.folder, 'identities.json'), join(services.folder, 'token')];
  writeFileSync(identities, JSON.stringify({ version: 1, principals: Object.fromEntries(principals) }));
  writeFileSync(tokenFile, tokens.get('dropstream')!);
  const known = ['--identities', identities, '--token-file', tokenFile];

  const { address: data } = await services.dataReplica(0, ['--identities', identities]);
  const evaluator = await services.evaluator([...known, '--data', data]);
  const { service } = await services.trainer([...known, '--data', data, '--evaluator', evaluator.address]);
  const as = (name: string) => {
    const client = connect(TrainerServiceClient, `127.0.0.1:${service.port}`, { token: tokens.get(name)! });
    after(() => client.close());
    return client;
  };
  const request = { parent: 'projects/p', runId: 'mine', spec: services.spec({ evalManifest: services.evalManifest, epochs: 1 }) };
  for (const name of ['vic', 'outsider', 'dropstream']) await assert.rejects(as(name).createRun(request, soon), PermissionDenied, name);
  const { run } = await as('sue').createRun(request, soon);
  assert.equal(run?.creator, 'sue');
  await follow(as('vic'), run.name);
  const ended = (await as('vic').getRun({ name: run.name }, soon)).run!;
  assert.deepEqual([ended.state, ended.creator, ended.evaluationsSucceeded], [RunState.SUCCEEDED, 'sue', 1], ended.failure);
  await assert.rejects(as('outsider').getRun({ name: run.name }, soon), PermissionDenied);

  const evaluations = connect(EvaluatorServiceClient, evaluator.address, { token: tokens.get('sue')! });
  after(() => evaluations.close());
  const spec = { checkpoint: ended.bestCheckpoint, manifest: services.evalManifest };
  const { evaluation } = await evaluations.createEvaluation({ parent: 'projects/p', spec }, soon);
  assert.equal(evaluation?.creator, 'sue');
  const listed = (await evaluations.listEvaluations({ parent: 'projects/p' }, soon)).evaluations.map(({ creator }) => creator);
  assert.deepEqual(listed.sort(), ['dropstream', 'sue'], 'that of the run was created by the trainer');

  // URLs of checkpoints, whether they are named by id or by alias, are for those who may read the run.
  for (const name of [ended.bestCheckpoint, `${run.name}/checkpoints/best`, `${run.name}/checkpoints/latest`]) {
    for (const stranger of ['outsider', 'dropstream']) await assert.rejects(as(stranger).getCheckpoint({ name }, soon), PermissionDenied);
    const { checkpoint } = await as('vic').getCheckpoint({ name }, soon);
    const own = `/projects/p/runs/mine/${run.uid}/checkpoints/`;
    assert.ok(checkpoint!.files.length > 0 && checkpoint!.files.every(({ url }) => new URL(url).pathname.includes(own)));
    const alike = { name: name.replace('projects/p/', 'projects/q/') };
    await assert.rejects(as('vic').getCheckpoint(alike, soon), PermissionDenied);
    await assert.rejects(as('outsider').getCheckpoint(alike, soon), NotFound, 'the project that the caller may read has none');
  }
  // A manifest that names files elsewhere is damaged, and gives no URL.
  const key = await services.manifestKeyOf(ended.bestCheckpoint);
  const { bytes } = await services.store.get(key);
  await services.store.put(key, Buffer.from(bytes.toString('utf8').replaceAll('projects/p/runs/mine/', 'projects/q/runs/mine/')));
  await assert.rejects(as('vic').getCheckpoint({ name: ended.bestCheckpoint }, soon), DataLoss);

  const { address: scheduler } = await services.scheduler(['--identities', identities]);
  const schedulerAs = (name: string) => {
    const client = connect(SchedulerServiceClient, scheduler, { token: tokens.get(name)! });
    after(() => client.close());
    return client;
  };
  const drop = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 2 };
  const { schedule } = await schedulerAs('sue').createSchedule({ parent: 'projects/p', scheduleId: 's', spec: drop }, soon);
  const changed = await schedulerAs('sam').updateSchedule({ name: schedule!.name, spec: { ...drop, rate: 0.2 } }, soon);
  assert.deepEqual([schedule!.creator, changed.schedule!.creator], ['sue', 'sam'], 'who stored the revision');

  const anonymous = connect(DataServiceClient, data);
  after(() => anonymous.close());
  await assert.rejects(anonymous.describeDataset({ dataset: { manifest: services.trainManifest } }, soon), Unauthenticated);
});
