/**
 * The process that is attacked: all four services over one store, once for everybody and once for known callers only, with a run that was trained and
 * scored before, and nobody who takes work from the queues. It tells its parent where to call and what there is, and ends when its parent does.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Role } from '#auth/policy.js';
import { createToken } from '#auth/tokens.js';
import { DataServiceClient, Plan } from '#protocol/dropstream/v1/data.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { connect } from '#rpc/client.js';
import { follow, TrainingServices } from '../support/training-services.js';

export type Addresses = Readonly<Record<'data' | 'scheduler' | 'trainer' | 'evaluator' | 'worker', string>>;

/** What the parent is told. */
export interface Target {
  /** Of the services that admit everybody, and of those that admit known callers. */
  readonly addresses: { readonly open: Addresses; readonly known: Addresses };
  /** By caller. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly trainManifest: string;
  readonly evalManifest: string;
  /** Of the run that was trained. */
  readonly checkpoint: string;
  /** Page tokens, etags and uids of real answers. */
  readonly opaque: readonly string[];
  /** Where data and store are; no answer may show it. */
  readonly folder: string;
}

const soon = { timeoutMs: 60_000 };
const LARGEST_BATCH_BYTES = 32 << 20;
const callers: Readonly<Record<string, Record<string, Role>>> = {
  operator: { p: 'operator' },
  viewer: { p: 'viewer' },
  outsider: { q: 'operator' },
  service: { '*': 'service' },
};
const drop = { kind: DropKind.DROP_PATH, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 1 };

/** Trains and scores one run of project p. */
async function train(services: TrainingServices): Promise<void> {
  const data = await services.dataReplica();
  const evaluator = await services.evaluator(['--data', data.address]);
  const trainer = await services.trainer(['--data', data.address, '--evaluator', evaluator.address]);
  const spec = services.spec({ evalManifest: services.evalManifest, epochs: 1, saveCkptFreq: 1 });
  await trainer.client.createRun({ parent: 'projects/p', runId: 'done', spec }, soon);
  await follow(trainer.client, 'projects/p/runs/done');
  for (const { service } of [trainer, evaluator, data]) await service.close();
}

const services = await TrainingServices.open({ train: 48, test: 20 });
process.on('disconnect', () => void services.close().finally(() => process.exit(0)));

async function start(argv: string[]) {
  const scheduler = await services.scheduler(argv);
  // Larger batches may take a second to make, and would look as if the service hung.
  const data = await services.dataReplica(0, [...argv, '--max-bytes', String(LARGEST_BATCH_BYTES)]);
  const trainer = await services.trainer([...argv, '--role', 'api', '--scheduler', scheduler.address, '--data', data.address]);
  const evaluator = await services.evaluator([...argv, '--role', 'api', '--data', data.address]);
  // A store of its own keeps it from taking work.
  const worker = await services.trainer([
    ...argv,
    '--role',
    'worker',
    '--store',
    join(services.folder, 'idle-store'),
    '--data',
    data.address,
  ]);
  const addresses: Addresses = {
    data: data.address,
    scheduler: scheduler.address,
    trainer: `127.0.0.1:${trainer.service.port}`,
    evaluator: evaluator.address,
    worker: `127.0.0.1:${worker.service.port}`,
  };
  return { scheduler: scheduler.client, trainer: trainer.client, evaluator: evaluator.client, addresses };
}

await train(services);
const { scheduler, trainer, evaluator, addresses } = await start([]);
const checkpoint = (await trainer.getRun({ name: 'projects/p/runs/done' }, soon)).run!.latestCheckpoint;
const opaque: string[] = [];
for (const parent of ['projects/p', 'projects/q']) {
  for (const id of ['kept', 'victim']) {
    await scheduler.createSchedule({ parent, scheduleId: id, spec: drop }, soon);
    await scheduler.updateSchedule({ name: `${parent}/schedules/${id}`, spec: { ...drop, rate: 0.2 } }, soon);
    const { run } = await trainer.createRun({ parent, runId: id, spec: services.spec() }, soon);
    if (id === 'victim') await trainer.cancelRun({ name: run!.name }, soon);
    opaque.push(run!.etag, run!.uid);
  }
  opaque.push((await trainer.listRuns({ parent, pageSize: 1, orderBy: 'create_time desc' }, soon)).nextPageToken);
  opaque.push((await scheduler.listSchedules({ parent, pageSize: 1 }, soon)).nextPageToken);
}
for (const evaluationId of ['kept', 'victim']) {
  const spec = { checkpoint, manifest: services.evalManifest };
  const { evaluation } = await evaluator.createEvaluation({ parent: 'projects/p', evaluationId, spec }, soon);
  opaque.push(evaluation!.uid);
}
await evaluator.cancelEvaluation({ name: 'projects/p/evaluations/victim' }, soon);
opaque.push((await evaluator.listEvaluations({ parent: 'projects/p', pageSize: 1 }, soon)).nextPageToken);
const batches = connect(DataServiceClient, addresses.data);
const plan = Plan.fromPartial({
  dataset: { manifest: services.trainManifest },
  batchSize: 8,
  transform: { inputSize: 28, training: true },
});
opaque.push((await batches.previewBatch({ plan, limit: 2 }, soon)).nextPageToken);
batches.close();

const tokens: Record<string, string> = {};
const principals = Object.entries(callers).map(([name, roles]) => {
  const { id, sha256, text } = createToken();
  tokens[name] = text;
  return [name, { roles, uris: [], tokens: [{ id, sha256, created: '2026-01-01T00:00:00Z' }] }];
});
const [identities, tokenFile] = [join(services.folder, 'identities.json'), join(services.folder, 'token')];
writeFileSync(identities, JSON.stringify({ version: 1, principals: Object.fromEntries(principals) }));
writeFileSync(tokenFile, tokens.service!);
const known = await start(['--identities', identities, '--token-file', tokenFile]);
const { trainManifest, evalManifest } = services;
process.send!({
  addresses: { open: addresses, known: known.addresses },
  tokens,
  trainManifest,
  evalManifest,
  checkpoint,
  opaque: opaque.filter((text) => text !== ''),
  folder: services.folder,
} satisfies Target);
