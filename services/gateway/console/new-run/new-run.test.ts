import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { shownOptions, specOptions } from '#spec/shown-options.js';
import { runSpecEnums } from '#spec/words.js';
import { trainRequest } from '../../../cli/train-spec.js';
import { commandLine, pythonCall, typescriptCall } from './same-call.js';
import { choices, specOf, type Values } from './spec-of.js';
import { modelsIn } from './use-checked.js';

const manifest = 'a'.repeat(64);
const values: Values = {
  model: 'vit_tiny',
  train_manifest: manifest,
  epochs: '30',
  seed: '9007199254740993',
  dropout: '.1',
  drop_mode: 'early',
  drop_schedule: 'linear',
  cutoff_epoch: '10',
  opt_betas: '0.9 0.95',
  aa: '""',
  model_ema: 'true',
  engine: 'auto',
  warmup_steps: '-1',
  workers: '2-4',
  priority: '-5',
};

test('the form and the command line that it shows make the same spec', () => {
  const { spec, problems } = specOf(values);
  assert.equal(problems.size, 0);
  const words = commandLine(values)
    .replaceAll('\\\n', ' ')
    .split(/\s+/)
    .slice(2)
    .map((word) => (word === '""' ? '' : word));
  const given: Record<string, string | string[]> = {};
  for (let at = 0; at < words.length; ) {
    const name = words[at++]!.slice(2);
    const own: string[] = [];
    while (at < words.length && !words[at]!.startsWith('--')) own.push(words[at++]!);
    given[name] = own.length === 1 ? own[0]! : own;
  }
  assert.deepEqual(RunSpec.fromJSON(spec), trainRequest(given).spec);
});

test('the words of the form are those of the protos', () => {
  for (const [field, [prefix, ...words]] of Object.entries(choices)) {
    const known = runSpecEnums[field as keyof typeof runSpecEnums];
    assert.deepEqual(words, known.words, field);
    assert.equal(known.names[0], `${prefix}_${words[0]!.toUpperCase()}`);
  }
  assert.deepEqual(Object.keys(choices).sort(), Object.keys(runSpecEnums).sort());
});

test('texts that are no values are problems at their options', () => {
  const { spec, problems } = specOf({ epochs: 'many', lr: '1e', model_ema: 'maybe', opt_betas: '0.9 x', model: ' ' });
  assert.deepEqual([...problems.keys()].sort(), ['epochs', 'lr', 'model_ema', 'opt_betas']);
  assert.deepEqual(spec, {});
});

test('calls in TypeScript and Python', () => {
  const names = { runId: 'r-1', labels: { team: 'vision' }, project: 'lab' };
  const typescript = typescriptCall(values, names);
  for (const part of [
    'seed: 9007199254740993n',
    'dropMode: DropMode.EARLY',
    'engine: Engine.AUTO',
    "aa: ''",
    "runId: 'r-1'",
    "project: 'lab'",
    'optBetas: [0.9,0.95]',
  ])
    assert.ok(typescript.includes(part), `${part} in ${typescript}`);
  const python = pythonCall(values, names);
  for (const part of [
    '"seed": 9007199254740993',
    '"drop_mode": "DROP_MODE_EARLY"',
    '"model_ema": True',
    '"aa": ""',
    'run_id="r-1"',
    '"team": "vision"',
  ])
    assert.ok(python.includes(part), `${part} in ${python}`);
  assert.match(commandLine(values, names), /--run_id r-1 .*--label team=vision/s);
});

test('no text of the form ends the quotes of what is copied', () => {
  const text = `x'); "\\" $(id) \`id\`\nend`;
  const names = { runId: text, labels: { [text]: text }, project: text };
  const typed: Values = { model: text, opt_betas: '0.9 $(id);x' };
  // What is between quotes goes; a backslash keeps what follows it.
  const outside = (code: string, quotes: RegExp) => code.replaceAll(quotes, '');
  const typescript = outside(typescriptCall(typed, names), /'(?:[^'\\\n]|\\.)*'/g);
  const python = outside(pythonCall(typed, names), /"(?:[^"\\\n]|\\.)*"/g);
  const shell = outside(commandLine(typed, names).replaceAll("\\'", ''), /'[^']*'/g);
  for (const code of [typescript, python, shell]) assert.doesNotMatch(code, /[$`x]|end/);
});

test('only what was chosen differs from the defaults', () => {
  const filled = {
    model: 'vit_tiny',
    batchSize: 64,
    epochs: 30,
    lr: 0.004,
    optEps: 1e-8,
    optBetas: [0.9, 0.999],
    dropMode: 'DROP_MODE_EARLY',
    dropSchedule: 'DROP_SCHEDULE_CONSTANT',
    warmupSteps: '-1',
    saveCkpt: true,
    aa: 'rand-m9-mstd0.5-inc1',
    engine: 'ENGINE_NATIVE',
    scheduleRevision: '0',
    workers: { min: 1, max: 1 },
    priority: 0,
    modelEma: false,
    minLr: 0.000001,
  };
  const differing = shownOptions(filled).filter(({ differs }) => differs);
  assert.deepEqual(
    differing.map(({ option, value }) => [option.name, value]),
    [
      ['epochs', '30'],
      ['drop_mode', 'early'],
    ],
  );
  assert.equal(shownOptions({ aa: '' }).find(({ option }) => option.name === 'aa')?.differs, true);
  assert.equal(shownOptions({}).length, specOptions.length);
});

test('the models are read from the refusal of a name that is none', () => {
  assert.deepEqual(modelsIn(new Map([['model', 'is "?", must be one of vit_tiny, vit_small, swin_tiny']])), [
    'vit_tiny',
    'vit_small',
    'swin_tiny',
  ]);
  assert.deepEqual(modelsIn(new Map()), []);
});
