import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { ReportData } from '#client/report-data.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { runCommandLine } from '../../../test/support/run-command-line.js';
import { type Trainer, TrainingServices } from '../../../test/support/training-services.js';

let services: TrainingServices;
let trainer: Trainer;
let address: string;

before(async () => {
  services = await TrainingServices.open();
  const { client, service } = await services.trainer(['--data', await services.data()]);
  trainer = client;
  address = `127.0.0.1:${service.port}`;
});
after(() => services.close());

const study = (...argv: string[]) =>
  runCommandLine(['study', ...argv, '--project', 'p', '--trainer', address], { cwd: services.folder, timeoutMs: 120_000 });

async function fileOf(name: string, rest: string): Promise<string> {
  const options = `{ model: vit_nano_p7, train_manifest: ${services.trainManifest}, epochs: 1, batch_size: 16, warmup_epochs: 0, lr: 1e-3 }`;
  const path = join(services.folder, `${name}.yaml`);
  await writeFile(path, `study: ${name}\noptions: ${options}\n${rest}\n`);
  return path;
}

const runsOf = async (name: string) =>
  (await trainer.listRuns({ parent: 'projects/p', filter: `labels.study = ${name}` }, { timeoutMs: 10_000 })).runs;

test('an arm that fails is stopped, and the others go on', { timeout: 120_000 }, async () => {
  const file = await fileOf('failing', 'arms: { good: {}, bad: { lr: 1e30 } }\nseeds: 3\nin_flight: 1');
  const { code, err } = await study('create', file);
  assert.equal(code, 1, err);
  assert.match(err, /error: 1 of 6 runs of failing failed; stopped with their first failure: bad/);
  assert.match(err, /failing-bad-1 is FAILED: /);
  assert.deepEqual((await runsOf('failing')).map(({ name, state }) => [name.split('/').at(-1), RunState[state]]).sort(), [
    ['failing-bad-1', 'FAILED'],
    ['failing-good-1', 'SUCCEEDED'],
    ['failing-good-2', 'SUCCEEDED'],
    ['failing-good-3', 'SUCCEEDED'],
  ]);
  const status = await study('status', file);
  assert.match(
    status.out,
    /^ARM +OF +SUCCEEDED +RUNNING +QUEUED +PAUSED +FAILED +CANCELLED +DONE\ngood +3 +3 +0 +0 +0 +0 +0 +100 %\nbad +3 +0 +0 +0 +0 +1 +0 +\d+ %$/,
  );
  const { arms } = JSON.parse((await study('status', 'failing', '--json')).out) as { arms: Record<string, unknown>[] };
  const { done, ...bad } = arms[0]!;
  assert.ok(Number(done) < 1);
  assert.deepEqual(bad, { arm: 'bad', succeeded: 0, running: 0, queued: 0, paused: 0, failed: 1, cancelled: 0 });
});

test('a study goes on where it was left, is what its file said at first, and writes a page', { timeout: 120_000 }, async () => {
  const file = await fileOf('left', 'arms: { a: {}, b: { dropout: 0.1 } }\nseeds: [4, 2]\nin_flight: 1');
  const begun = await study('create', file, '--detach');
  assert.equal(begun.code, 0, begun.err);
  assert.match(begun.err, /3 runs are not created yet/);
  assert.equal((await runsOf('left')).length, 1);
  const { code, err } = await study('create', file);
  assert.equal(code, 0, err);
  assert.equal((await runsOf('left')).length, 4);

  const page = join(services.folder, 'left.html');
  const report = await study('report', 'left', '--baseline', 'a', '--page', page);
  assert.equal(report.code, 0, report.err);
  assert.match(report.out, /^train_loss: .*\nARM +RUNS +MEAN[\s\S]*\nb − a +2 [\s\S]*fingerprint native\/fp32\//);
  const data = JSON.parse(/id="report-data">([^<]*)</.exec(await readFile(page, 'utf8'))![1]!) as ReportData;
  assert.equal(data.title, 'Study left');
  assert.deepEqual(
    data.study?.charts[0]?.lines.map(({ arm }) => arm),
    ['a', 'b'],
  );

  await writeFile(file, (await readFile(file, 'utf8')).replace('dropout: 0.1', 'dropout: 0.2'));
  const changed = await study('create', file);
  assert.equal(changed.code, 5, changed.err);
  assert.match(changed.err, /left-b-4 already exists/);
});

test('what does not exist, and what no run can have, is refused before anything is created', { timeout: 60_000 }, async () => {
  assert.equal((await study('report', 'nothing')).code, 4);
  const nowhere = await study('report', 'nothing', '--page', join('nowhere', 'study.html'));
  assert.equal(nowhere.code, 2, 'the folder of the page is looked for before the runs');
  assert.match(nowhere.err, /page is .*must be a file in a folder that exists/);
  assert.equal((await study('status', 'nothing')).code, 4);
  assert.equal((await study('create', 'nothing.yaml')).code, 4);
  assert.equal((await study('status', 'No Name')).code, 2);
  const refused = await study('create', await fileOf('refused', 'arms: { a: {}, b: { dropout: 2 } }\nseeds: 2'));
  assert.equal(refused.code, 2, refused.err);
  assert.match(refused.err, /dropout is "2"/);
  assert.deepEqual(await runsOf('refused'), []);
});
