/** Every list of the command line names what the store has and the services cannot read, besides what is whole. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { TrainingServices } from '../../test/support/training-services.js';

let services: TrainingServices;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };
/** Addresses by the service's option. */
const addresses: Record<string, string> = {};

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const trainer = await services.trainer(['--data', data]);
  const evaluator = await services.evaluator(['--role', 'api']);
  const scheduler = await services.scheduler();
  addresses.trainer = `127.0.0.1:${trainer.service.port}`;
  addresses.evaluator = evaluator.address;
  addresses.scheduler = scheduler.address;
  const { run } = await trainer.client.createRun({ parent, runId: 'whole', spec: services.spec({ epochs: 1 }) }, soon);
  for await (const _ of trainer.client.watchRun({ name: run!.name }, soon));
  const spec = { checkpoint: `${run!.name}/checkpoints/latest`, manifest: services.evalManifest };
  await evaluator.client.createEvaluation({ parent, evaluationId: 'whole', spec }, soon);
  const drop = { kind: DropKind.DROPOUT, rate: 0.1, mode: 0, schedule: 0, cutoffEpoch: 0 };
  await scheduler.client.createSchedule({ parent, scheduleId: 'whole', spec: drop }, soon);
  // The layout of version 0.1.
  for (const key of ['runs/of-01/log/000000000001', 'run-index/of-01', 'evaluations/of-01/log/000000000001', 'evaluation-index/of-01'])
    await services.store.put(`${parent}/${key}`, Buffer.from('{}'));
  await services.store.put(`${parent}/schedules/of-01/revisions/000000000001.json`, Buffer.from('{}'));
});
after(() => services.close());

const cli = (...argv: string[]) => runCommandLine(argv, { cwd: services.folder });

for (const [command, collection, service] of [
  ['runs', 'runs', 'trainer'],
  ['evaluations', 'evaluations', 'evaluator'],
  ['schedule', 'schedules', 'scheduler'],
] as const) {
  test(`${command} list`, async () => {
    for (const json of [[], ['--json']]) {
      const { code, out, err } = await cli(command, 'list', '--project', 'p', `--${service}`, addresses[service]!, ...json);
      assert.equal(code, 0, err);
      assert.match(out, /whole/);
      assert.doesNotMatch(out, /of-01/);
      assert.match(err, new RegExp(`^warning: projects/p/${collection}/of-01 cannot be read: .*version 0\\.1`, 'm'));
    }
  });
}

test('checkpoints list', async () => {
  const { objects } = await services.store.list(`${parent}/runs/whole/`, { limit: 1000 });
  const keys = objects.map(({ key }) => key).filter((key) => key.endsWith('/manifest.json'));
  assert.ok(keys.length > 0);
  for (const key of keys) await services.store.put(key, Buffer.from('{'));
  const { code, err } = await cli('checkpoints', 'list', 'whole', '--project', 'p', '--trainer', addresses.trainer!);
  assert.equal(code, 0, err);
  assert.equal(err.match(/^warning: projects\/p\/runs\/whole\/checkpoints\/\S+ cannot be read/gm)?.length, keys.length);
});
