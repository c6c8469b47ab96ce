import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { InvalidArgument } from '#errors/errors.js';
import { Engine, Precision } from '#protocol/dropstream/v1/engine_types.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { EnumWords } from '#spec/enum-words.js';
import { isExplainedOption, isSpecOption, trainOptions } from '#spec/train-options.js';
import { isRunSpecEnum, runSpecEnums } from '#spec/words.js';
import { normaliseArguments } from './argument-style.js';
import { type GivenOptions, parseBoolean, trainRequest } from './train-spec.js';

const base = { model: 'vit_tiny', train_manifest: 'a'.repeat(64), lr: '1e-3' };
const refused = (given: GivenOptions): Record<string, string> => {
  try {
    trainRequest(given);
  } catch (error) {
    assert.ok(error instanceof InvalidArgument);
    return Object.fromEntries(error.violations.map((v) => [v.field, v.allowed]));
  }
  return assert.fail('nothing was refused');
};

/** Recipe §1, group by group: the reference's names. */
const referenceOptions = `batch_size epochs update_freq seed start_epoch model input_size layer_scale_init_value head_init_scale nb_classes
  dropout drop_path drop_mode drop_schedule cutoff_epoch model_ema model_ema_decay model_ema_eval
  opt opt_eps opt_betas clip_grad momentum weight_decay weight_decay_end lr min_lr warmup_epochs warmup_steps layer_decay
  color_jitter aa smoothing train_interpolation crop_pct eval dist_eval disable_eval reprob remode recount
  mixup cutmix cutmix_minmax mixup_prob mixup_switch_prob mixup_mode finetune model_key model_prefix
  data_path eval_data_path data_set imagenet_default_mean_and_std num_workers
  output_dir resume auto_resume save_ckpt save_ckpt_freq save_ckpt_num log_dir enable_wandb world_size local_rank dist_on_itp dist_url`.split(
  /\s+/,
);

test('every option of the reference is mapped or explained', () => {
  const known = new Set(trainOptions.map((option) => option.name));
  assert.equal(known.size, trainOptions.length, 'no option twice');
  assert.deepEqual(
    referenceOptions.filter((name) => !known.has(name)),
    [],
  );
});

test('every field of RunSpec is reached by one option of the same name', () => {
  const snake = (field: string) => field.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
  const fields = Object.keys(RunSpec.fromPartial({}));
  const mapped = trainOptions.filter(isSpecOption);
  assert.deepEqual(mapped.map((option) => option.field).sort(), fields.sort());
  for (const { name, field } of mapped) assert.equal(name, snake(field));
});

test('defaults said in the table are those of the proto comments', () => {
  const proto = readFileSync(new URL('../../proto/dropstream/v1/run_spec.proto', import.meta.url), 'utf8');
  for (const option of trainOptions.filter(isSpecOption)) {
    const comment =
      new RegExp(`// ([^\\n]*(?:\\n\\s*//[^\\n]*)*)\\n\\s*(?:optional |repeated )?\\w+ ${option.name} =`).exec(proto)?.[1] ?? '';
    const said =
      /Default (?:is )?(-?[\d.]+(?:e-?\d+)?|true|false|ADAMW|STANDARD|CONSTANT|BICUBIC|PIXEL|BATCH|NATIVE|FP32|rand-m9-mstd0\.5-inc1)(?=[.,\s;]|$)/
        .exec(comment)?.[1]
        ?.replace(/\.$/, '')
        .toLowerCase();
    if (said === undefined || option.default === 'none' || option.default.includes(' ')) continue;
    const same = Number.isNaN(Number(said)) ? said === option.default : Number(said) === Number(option.default);
    assert.ok(same, `${option.name}: ${option.default} in the table, ${said} in the proto`);
  }
});

test('closed sets of values keep their words on the command line', () => {
  for (const option of trainOptions.filter(isSpecOption)) {
    const { name, field } = option;
    if (!isRunSpecEnum(field)) continue;
    const { words, fallback, fromWord } = runSpecEnums[field] as EnumWords<Record<string, number>>;
    assert.equal(option.default, fallback);
    for (const word of words) assert.equal(trainRequest({ ...base, [name]: word }).spec[field], fromWord(word));
    for (const wrong of ['', 'UNSPECIFIED', 'x', '1', fallback.toUpperCase()])
      assert.equal(refused({ ...base, [name]: wrong })[name], `one of ${words.join(', ')}`);
  }
});

test('absent options stay absent, and 0 is a value', () => {
  const { spec } = trainRequest({ ...base, dropout: '0', warmup_epochs: '0', smoothing: '0.0', aa: '' });
  assert.deepEqual([spec.dropout, spec.warmupEpochs, spec.smoothing, spec.aa], [0, 0, 0, '']);
  assert.deepEqual([spec.minLr, spec.epochs, spec.modelEma, spec.optBetas], [undefined, undefined, undefined, []]);
});

test("the reference's spellings are understood", () => {
  const { spec } = trainRequest({
    ...base,
    model_ema: 'true',
    save_ckpt: 'no',
    opt_betas: ['0.9', '0.95'],
    cutmix_minmax: '0.2,0.8',
    lr: '4e-3',
    warmup_steps: '-1',
    seed: '7',
  });
  assert.deepEqual(
    [spec.modelEma, spec.saveCkpt, spec.optBetas, spec.cutmixMinmax, spec.lr],
    [true, false, [0.9, 0.95], [0.2, 0.8], 0.004],
  );
  assert.deepEqual([spec.warmupSteps, spec.seed], [-1n, 7n]);
  assert.equal(trainRequest({ ...base, model_ema: true }).spec.modelEma, true);
  for (const word of ['yes', 'T', '1', 'on']) assert.equal(parseBoolean(word), true);
  for (const word of ['no', 'F', '0', 'off']) assert.equal(parseBoolean(word), false);
});

test('wrong types are named all at once', () => {
  const fields = refused({ ...base, epochs: '3.5', lr: 'fast', model_ema: 'maybe', opt_betas: 'x y', batch_size: '' });
  assert.deepEqual(Object.keys(fields).sort(), ['batch_size', 'epochs', 'lr', 'model_ema', 'opt_betas']);
});

test('float16 has one word', () => {
  assert.equal(trainRequest({ ...base, engine: 'webgpu', precision: 'f16' }).spec.precision, Precision.F16);
  const rule = 'one of fp32, bf16, f16, because float16 is called f16, and only the engine webgpu has it';
  assert.deepEqual(refused({ ...base, engine: 'webgpu', precision: 'fp16' }), { precision: rule });
});

test('a model and a data set are needed, the latter once', () => {
  assert.deepEqual(Object.keys(refused({})).sort(), ['data_path', 'model']);
  assert.deepEqual(Object.keys(refused({ ...base, data_path: '/d' })), ['data_path']);
  assert.equal(trainRequest({ model: 'vit_tiny', data_path: '/d' }).data.data_path, '/d');
});

test('options without a counterpart are explained: noted where results stay, refused where they would not', () => {
  assert.match(trainRequest({ ...base, num_workers: '10' }).notes.join(), /--num_workers is ignored: .*data-replicas/);
  assert.match(refused({ ...base, resume: 'x.pth' }).resume!, /left out: .*runs resume/);
  assert.match(trainRequest({ ...base, use_amp: 'true' }).notes.join(), /--use_amp is ignored: use --precision bf16/);
  assert.match(refused({ ...base, start_epoch: '3' }).start_epoch!, /left out: a resumed run knows its step/);
  assert.match(trainRequest({ ...base, dist_eval: 'false' }).notes.join(), /scores each sample once/);
  for (const option of trainOptions.filter(isExplainedOption)) {
    for (const value of option.harmless ?? []) assert.deepEqual(trainRequest({ ...base, [option.name]: value }).notes, [], option.name);
  }
});

test("the reference's device is an engine: cuda leaves it to the worker, and --engine comes first", () => {
  const engineOf = (given: GivenOptions) => trainRequest({ ...base, ...given }).spec.engine;
  assert.deepEqual([engineOf({}), engineOf({ device: 'cpu' })], [undefined, Engine.NATIVE]);
  assert.deepEqual([engineOf({ device: 'cuda' }), engineOf({ device: 'cuda:1' })], [Engine.AUTO, Engine.AUTO]);
  const both = trainRequest({ ...base, device: 'cuda', engine: 'native' });
  assert.equal(both.spec.engine, Engine.NATIVE);
  assert.match(both.notes.join(), /--device is ignored: --engine is given/);
  assert.deepEqual(refused({ ...base, device: 'abacus' }), { device: 'cuda, cuda:N or cpu' });
});

test('--eval scores a checkpoint, which has to be named; without it --resume is no way to go on', () => {
  assert.deepEqual(Object.keys(refused({ model: 'vit_tiny', eval: 'true' })), ['resume']);
  const { evalOnly, resume, data } = trainRequest({ model: 'vit_tiny', eval: true, resume: 'first/best' });
  assert.deepEqual([evalOnly, resume, data], [true, 'first/best', {}]);
  assert.equal(trainRequest({ ...base, eval: 'false', resume: '' }).evalOnly, false);
  assert.deepEqual([trainRequest(base).autoResume, trainRequest({ ...base, auto_resume: 'no' }).autoResume], [true, false]);
});

test('processes become micro-batches, so that groups of mixed images stay those of one process', () => {
  const ranges = ['4', '2-4'].map((workers) => trainRequest({ ...base, workers, priority: '-5' }).spec);
  assert.deepEqual(
    ranges.map(({ workers, priority }) => [workers, priority]),
    [
      [{ min: 1, max: 4 }, -5],
      [{ min: 2, max: 4 }, -5],
    ],
  );
  for (const workers of ['0', '-2', '2-', 'many']) assert.throws(() => trainRequest({ ...base, workers }), /workers/);
  const { spec, world } = trainRequest({ ...base, batch_size: '128', update_freq: '2', world: '16' });
  assert.deepEqual([spec.batchSize, spec.updateFreq, world], [128, 32, 16]);
  assert.equal(trainRequest(base).spec.updateFreq, undefined);
});

test('dashes and underscores reach the same option', () => {
  fc.assert(
    fc.property(fc.constantFrom(...trainOptions.map((option) => option.name)), fc.boolean(), (name, equals) => {
      const dashed = name.replaceAll('_', '-');
      const given = equals ? [`--${dashed}=a-b_c`] : [`--${dashed}`, 'a-b_c'];
      const wanted = equals ? [`--${name}=a-b_c`] : [`--${name}`, 'a-b_c'];
      assert.deepEqual(normaliseArguments(['train', ...given]), ['train', ...wanted]);
    }),
  );
  assert.deepEqual(normaliseArguments(['schedule', 'preview', '--drop_schedule', 'linear']), [
    'schedule',
    'preview',
    '--drop-schedule',
    'linear',
  ]);
  assert.deepEqual(normaliseArguments(['serve', 'data', '--max_x', '-1']), ['serve', 'data', '--max_x', '-1']);
});
