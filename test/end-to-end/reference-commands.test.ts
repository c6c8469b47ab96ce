/** The commands of the reference's README, written from the facts of the recipe: each is accepted as it stands after `dropstream train`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Violations } from '#errors/errors.js';
import { modelFamily } from '#nn/models/registry.js';
import { normaliseArguments } from '../../services/cli/argument-style.js';
import { createProgram } from '../../services/cli/program.js';
import { type GivenOptions, type TrainRequest, trainRequest } from '../../services/cli/train-spec.js';
import { modelCatalog } from '../../services/trainer/run/model-catalog.js';
import { checkLength, checkRunSpec, resolveRunSpec } from '../../services/trainer/run/run-spec.js';

/** ImageNet-1K. */
const IMAGES = 1_281_167;

const paths = '--data_path /data/imagenet --output_dir /results/run';
const basic = `--epochs 300 --batch_size 128 --lr 4e-3 --update_freq 1 --model_ema false --eval false ${paths}`;
const improved = `--epochs 600 --batch_size 128 --lr 4e-3 --update_freq 1 --mixup 0.3 --cutmix 0.3 ${paths}`;
const early = '--drop_mode early --drop_schedule linear --cutoff_epoch 50';
const late = '--drop_mode late --drop_schedule constant --cutoff_epoch 50';
const machines = '--nodes 4 --ngpus 8';
const eightProcesses = '--world 8 --update_freq 4';

const models = 'vit_tiny mixer_s32 mixer_s16 swin_femto convnext_femto'.split(' ');
const large = 'vit_base mixer_b32 mixer_b16'.split(' ');
/** Every name of recipe §4. */
const every = [
  'vit_tiny vit_small vit_base vit_large mixer_t32 mixer_s32 mixer_s16 mixer_b32 mixer_b16 swin_femto swin_tiny swin_small',
  'convnext_atto convnext_mini convnext_femto convnext_pico convnext_tiny convnext_small convnext_base convnext_large convnext_xlarge',
].flatMap((names) => names.split(' '));

const trainings: { readonly recipe: string; readonly models: readonly string[]; readonly options: string; readonly epochs: number }[] = [
  { recipe: 'basic', models: every, options: `${basic} ${machines}`, epochs: 300 },
  { recipe: 'basic, 8 processes that accumulate', models: every, options: `${basic} ${eightProcesses}`, epochs: 300 },
  { recipe: 'basic, early dropout', models, options: `${basic} ${machines} --dropout 0.1 ${early}`, epochs: 300 },
  { recipe: 'basic, early stochastic depth', models: every, options: `${basic} ${machines} --drop_path 0.5 ${early}`, epochs: 300 },
  { recipe: 'basic, standard dropout', models, options: `${basic} ${machines} --dropout 0.1`, epochs: 300 },
  { recipe: 'basic, standard stochastic depth', models, options: `${basic} ${machines} --drop_path 0.1 --drop_mode standard`, epochs: 300 },
  { recipe: 'improved', models: every, options: `${improved} ${machines}`, epochs: 600 },
  { recipe: 'improved, early dropout', models, options: `${improved} ${machines} --dropout 0.1 ${early}`, epochs: 600 },
  { recipe: 'improved, early stochastic depth', models, options: `${improved} ${eightProcesses} --drop_path 0.5 ${early}`, epochs: 600 },
  { recipe: 'late stochastic depth', models: large, options: `${basic} ${machines} --drop_path 0.4 ${late}`, epochs: 300 },
];

/** What `train` would ask for, from a command line. */
async function requestOf(line: string): Promise<TrainRequest> {
  const errors: string[] = [];
  const terminal = { out() {}, err: (text: string) => void errors.push(text), status() {}, interactive: false, color: false, columns: 80 };
  const program = createProgram({ terminal, env: {}, cwd: '.', signal: new AbortController().signal });
  let request: TrainRequest | undefined;
  const train = program.commands.find((command) => command.name() === 'train');
  train?.action((given: GivenOptions) => {
    request = trainRequest(given);
  });
  await program.parseAsync(normaliseArguments(['train', ...line.trim().split(/\s+/)]), { from: 'user' });
  assert.ok(request, errors.join('\n'));
  return request;
}

/** The options as the trainer resolves them for ImageNet. */
function resolved({ spec }: TrainRequest) {
  const violations = new Violations();
  spec.trainManifest = 'a'.repeat(64);
  spec.evalManifest = 'b'.repeat(64);
  const facts = { samples: IMAGES, classes: Array.from({ length: 1000 }, (_, k) => String(k)) };
  checkRunSpec(violations, spec, modelCatalog);
  const length = checkLength(violations, spec, facts);
  violations.throwIfAny();
  return { spec: resolveRunSpec(spec, modelCatalog, facts), length: length! };
}

for (const { recipe, models: names, options, epochs } of trainings) {
  test(`accepted as it stands: ${recipe}`, async () => {
    for (const model of names) {
      // The families without a site for dropout have no such command.
      if (options.includes('--dropout') && modelFamily(model) === 'convnext') continue;
      const request = await requestOf(`--model ${model} ${options}`);
      assert.deepEqual(request.notes, [], model);
      const { spec, length } = resolved(request);
      assert.deepEqual(
        [spec.batchSize * spec.updateFreq, spec.batchSize, length.stepsPerEpoch, length.totalSteps, length.warmupSteps],
        [4096, 128, Math.floor(IMAGES / 4096), epochs * 312, 50 * 312],
        model,
      );
    }
  });
}

test('accepted as it stands: evaluation of a checkpoint', async () => {
  for (const model of every) {
    const request = await requestOf(
      `--model ${model} --eval true --resume /checkpoints/${model}.pth --batch_size 128 --drop_path 0.1 --input_size 224 --data_path /data/imagenet`,
    );
    assert.deepEqual([request.evalOnly, request.resume, request.notes], [true, `/checkpoints/${model}.pth`, []], model);
  }
});

test('accepted as it stands: finetuning', async () => {
  for (const model of every) {
    const request = await requestOf(
      `--model ${model} ${machines} --finetune projects/default/runs/pretrained/checkpoints/step-1 --batch_size 16 --lr 5e-5 --update_freq 1
       --warmup_epochs 0 --epochs 30 --weight_decay 1e-8 --cutmix 0 --mixup 0 --drop_path 0.1 --model_ema true --model_ema_eval true ${paths}`,
    );
    assert.deepEqual([request.notes, request.outputDir], [[], '/results/run'], model);
    const { spec, length } = resolved(request);
    assert.deepEqual([spec.updateFreq, length.stepsPerEpoch], [32, Math.floor(IMAGES / 512)]);
  }
});

test("a total batch other than 4096 warns where the learning rate is the recipe's", async () => {
  const said = async (options: string) => (await requestOf(`--model vit_tiny --data_path d ${options}`)).notes.join('\n');
  assert.match(await said(''), /warning: the total batch is 64 .*lr 0\.004 is meant for 4096/);
  assert.match(await said('--batch_size 128 --world 8'), /total batch is 1024 \(batch_size 128 · update_freq 1 · world 8\)/);
  assert.equal(await said('--batch_size 128 --world 8 --update_freq 4'), '');
  assert.equal(await said('--batch_size 128 --world_size 32'), '');
  assert.equal(await said('--batch_size 64 --lr 1e-3'), '');
});

test('numbers of processes that contradict each other are refused', async () => {
  const fields = async (options: string) => {
    try {
      await requestOf(`--model vit_tiny --data_path d ${options}`);
    } catch (error) {
      return (error as { violations: { field: string }[] }).violations.map(({ field }) => field);
    }
    return [];
  };
  assert.deepEqual(await fields('--world 8 --world_size 8 --nodes 2 --ngpus 4'), []);
  assert.deepEqual(await fields('--world 8 --world_size 1'), []);
  assert.deepEqual(await fields('--world 8 --nodes 4 --ngpus 8'), ['nodes']);
  assert.deepEqual(await fields('--world 8 --world_size 4'), ['world_size']);
  assert.deepEqual(await fields('--nodes 4'), ['nodes']);
  assert.deepEqual(await fields('--ngpus 8'), ['ngpus']);
  assert.deepEqual(await fields('--world 0'), ['world']);
});
