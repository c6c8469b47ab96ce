/** The loss of a study's runs on their training images: asked for once, taken up by the report, and made again after a failure. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { runCommandLine } from '../../../test/support/run-command-line.js';
import { type Evaluator, follow, type Trainer, TrainingServices } from '../../../test/support/training-services.js';
import { exitCodes } from '../exit-codes.js';
import type { StudyLine } from './lines-file.js';

let services: TrainingServices;
let trainer: Trainer;
let evaluator: Evaluator;
let addresses: { readonly trainer: string; readonly evaluator: string };
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

before(async () => {
  services = await TrainingServices.open();
  const data = await services.data();
  const started = await services.trainer(['--data', data]);
  trainer = started.client;
  const { client, address } = await services.evaluator(['--data', data]);
  evaluator = client;
  addresses = { trainer: `127.0.0.1:${started.service.port}`, evaluator: address };
  for (const [arm, seed, part] of [
    ['none', 1, {}],
    ['drop', 1, { dropout: 0.3, holdoutStride: 4, holdoutOffset: 1 }],
    ['unsaved', 1, { saveCkpt: false }],
  ] as const) {
    const labels = { study: 's', arm, seed: String(seed) };
    const { run } = await trainer.createRun(
      { parent, runId: `s-${arm}-${seed}`, labels, spec: services.spec({ seed: 1n, ...part }) },
      soon,
    );
    await follow(trainer, run!.name);
  }
});
after(() => services.close());

function study(command: string, ...argv: string[]) {
  const env = { DROPSTREAM_TRAINER: addresses.trainer, DROPSTREAM_HOME: services.folder };
  return runCommandLine(['study', command, 's', '--project', 'p', ...argv], { env, cwd: services.folder });
}
const evaluate = (...argv: string[]) => study('evaluate', '--evaluator', addresses.evaluator, ...argv);
const evaluations = async () => (await evaluator.listEvaluations({ parent }, soon)).evaluations;

interface Report {
  readonly metrics: readonly {
    readonly metric: string;
    readonly arms: readonly { arm: string; mean: number }[];
    readonly curves: unknown[];
  }[];
}
const finalIn = (out: string) => (JSON.parse(out) as Report).metrics.find(({ metric }) => metric === 'final_train_loss');

test('every run with a checkpoint is evaluated once, and the report has its loss', { timeout: 120_000 }, async () => {
  const before = await study('report', '--evaluator', addresses.evaluator, '--json', '--any-fingerprint');
  assert.equal(before.code, 0, before.err);
  assert.equal(finalIn(before.out), undefined);

  const first = await evaluate();
  assert.equal(first.code, 0, first.err);
  assert.match(first.out, /^s: 2 runs are evaluated on their training images/);
  assert.match(first.err, /s-unsaved-1 has no checkpoint/);
  const all = await evaluations();
  assert.deepEqual(
    all.map(({ state, spec, samplesTotal }) => [state, spec?.manifest, spec?.ema, samplesTotal]).sort(),
    [72n, 96n].map((samples) => [EvaluationState.SUCCEEDED, services.trainManifest, false, samples]),
    'held-out images are no part of it',
  );
  const again = await evaluate();
  assert.equal(again.code, 0, again.err);
  assert.deepEqual(await evaluations(), all);

  const report = await study('report', '--evaluator', addresses.evaluator, '--json', '--any-fingerprint');
  const final = finalIn(report.out)!;
  assert.deepEqual(final.curves, []);
  for (const { arm, mean } of final.arms) {
    const run = (await trainer.getRun({ name: `${parent}/runs/s-${arm}-1` }, soon)).run!;
    const of = all.find(({ spec }) => spec?.checkpoint === run.latestCheckpoint)!;
    assert.equal(mean, of.result!.weights!.loss);
  }
  assert.deepEqual(final.arms.map(({ arm }) => arm).sort(), ['drop', 'none']);
});

test('the lines of a study are written once, and give its report without any service', { timeout: 120_000 }, async () => {
  const file = join(services.folder, 'lines.jsonl');
  const first = await evaluate('--lines', file);
  assert.equal(first.code, 0, first.err);
  assert.match(first.err, /lines\.jsonl has 2 lines, 2 of them new/);
  const text = await readFile(file, 'utf8');
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as StudyLine);
  assert.deepEqual(lines.map(({ study, arm, seed, spec }) => [study, arm, seed, (spec as { dropout?: number }).dropout]).sort(), [
    ['s', 'drop', '1', 0.3],
    ['s', 'none', '1', 0],
  ]);
  for (const { last, fingerprint, version } of lines) {
    assert.ok(last.final_train_loss! > 0 && last.train_loss! > 0);
    assert.notEqual(fingerprint, '');
    assert.match(version, /^\d+\.\d+\.\d+/);
  }
  assert.equal((await evaluate('--lines', file)).code, 0);
  assert.equal(await readFile(file, 'utf8'), text);

  const live = await study('report', '--evaluator', addresses.evaluator, '--json', '--any-fingerprint');
  const stored = await runCommandLine(['study', 'report', 's', '--lines', file, '--json', '--any-fingerprint'], {
    env: {},
    cwd: services.folder,
  });
  assert.equal(stored.code, 0, stored.err);
  const finals = finalIn(live.out)!;
  assert.deepEqual(finalIn(stored.out), finals);
  assert.deepEqual(
    finals.arms.map(({ arm, mean }) => [arm, mean]).sort(),
    lines.map(({ arm, last }) => [arm, last.final_train_loss]).sort(),
  );

  const other = await runCommandLine(['study', 'report', 'other', '--lines', file], { env: {}, cwd: services.folder });
  assert.equal(other.code, exitCodes.notFound, other.err);
  const detached = await evaluate('--lines', file, '--detach');
  assert.equal(detached.code, exitCodes.usage, detached.err);
});

test('an evaluation without a result is made again, and without an evaluator the report says what it lacks', {
  timeout: 120_000,
}, async () => {
  const all = await evaluations();
  const [one] = all;
  // Taken away and asked for by nobody: then the same request makes it again.
  await evaluator.deleteEvaluation({ name: one!.name, etag: '' }, soon);
  assert.equal((await evaluate()).code, 0);
  const made = (await evaluator.getEvaluation({ name: one!.name }, soon)).evaluation!;
  assert.notEqual(made.uid, one!.uid);
  assert.deepEqual(made.result!.weights, one!.result!.weights);

  const blind = await study('report', '--json', '--any-fingerprint');
  assert.equal(blind.code, 0, blind.err);
  assert.equal(finalIn(blind.out), undefined);
  assert.match(
    blind.err,
    /final_train_loss is left out, because the evaluator cannot be asked: the address of the evaluator service is not known/,
  );
  const away = await study('report', '--json', '--evaluator', '127.0.0.1:1', '--timeout', '2');
  assert.equal(away.code, 0, away.err);
  assert.match(away.err, /final_train_loss is left out/);
  const unknown = await runCommandLine(['study', 'evaluate', 'none', '--project', 'p', '--evaluator', addresses.evaluator], {
    env: { DROPSTREAM_TRAINER: addresses.trainer },
    cwd: services.folder,
  });
  assert.equal(unknown.code, exitCodes.notFound, unknown.err);
});
