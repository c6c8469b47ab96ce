import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InvalidArgument } from '#errors/errors.js';
import { DropMode } from '#protocol/dropstream/v1/schedule_types.js';
import { readStudy, runsOf } from './study-file.js';

const file = `
study: rates
options: { model: vit_nano_p7, train-manifest: ${'a'.repeat(64)}, epochs: 3, opt_betas: [0.9, 0.95] }
arms:
  none:
  early: { dropout: 0.1, drop-mode: early, cutoff_epoch: 2, epochs: 4 }
seeds: [7, 3]
`;

test('a run for each arm and seed, seed by seed, with options of its own, labels and an id that follows from them', () => {
  const study = readStudy(file);
  const runs = runsOf(study);
  assert.deepEqual(
    runs.map(({ id, labels }) => [id, labels]),
    [
      ['rates-none-7', { study: 'rates', arm: 'none', seed: '7' }],
      ['rates-early-7', { study: 'rates', arm: 'early', seed: '7' }],
      ['rates-none-3', { study: 'rates', arm: 'none', seed: '3' }],
      ['rates-early-3', { study: 'rates', arm: 'early', seed: '3' }],
    ],
  );
  const [none, early] = runs.map(({ request }) => request.spec);
  assert.deepEqual([none!.epochs, none!.seed, none!.dropout, none!.optBetas], [3, 7n, undefined, [0.9, 0.95]]);
  assert.deepEqual([early!.epochs, early!.seed, early!.dropout, early!.dropMode], [4, 7n, 0.1, DropMode.EARLY]);
  assert.deepEqual([study.baseline, study.inFlight, study.stopFailedArms], ['none', undefined, true]);
});

test('a number of seeds, the other keys, and JSON', () => {
  const study = readStudy(
    JSON.stringify({ study: 's', arms: { a: {}, b: {} }, seeds: 3, baseline: 'b', in_flight: 2, stop_failed_arms: false }),
  );
  assert.deepEqual([study.seeds, study.baseline, study.inFlight, study.stopFailedArms], [[1n, 2n, 3n], 'b', 2, false]);
});

const violationsOf = (text: string): string[] => {
  try {
    readStudy(text);
    return [];
  } catch (error) {
    assert.ok(error instanceof InvalidArgument, String(error));
    return error.violations.map(({ field }) => field);
  }
};

test('everything that is wrong is said at once', () => {
  assert.deepEqual(
    violationsOf(
      'study: A\ntitle: x\noptions: { seed: 1, nothing: 2, dist_on_itp: true }\narms: { "b c": { dropout: { x: 1 } } }\nseeds: [1, 1]\nbaseline: none\nin_flight: 0\nstop_failed_arms: maybe',
    ),
    [
      'title',
      'study',
      'options.seed',
      'options.nothing',
      'options.dist_on_itp',
      'arms',
      'arms.b c.dropout',
      'seeds',
      'baseline',
      'in_flight',
      'stop_failed_arms',
    ],
  );
});

for (const [what, text] of [
  ['no YAML', 'study: ['],
  ['no mapping', '- study'],
  ['nothing', ''],
  ['an alias, which could grow without bounds', 'study: &a x\nbaseline: *a'],
] as const)
  test(`${what} is refused as a file`, () => assert.deepEqual(violationsOf(text), ['file']));

test('no arms, too many runs, and ids that no run may have', () => {
  assert.deepEqual(violationsOf('study: s\nseeds: 2'), ['arms']);
  assert.deepEqual(violationsOf('study: s\narms: { a: {}, b: {} }\nseeds: 501'), ['seeds']);
  assert.deepEqual(violationsOf(`study: ${'s'.repeat(60)}\narms: { a: {} }\nseeds: [12]`), ['study']);
  assert.deepEqual(violationsOf('study: s\narms: { a: {} }\nseeds: [-1]'), ['seeds']);
  for (const seeds of ['0', '2.5', '[1.5]', '.inf'])
    assert.deepEqual(violationsOf(`study: s\narms: { a: {} }\nseeds: ${seeds}`), ['seeds'], seeds);
});
