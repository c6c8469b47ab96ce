/**
 * Every option of `dropstream train`, in one table: the options of the reference recipe under their names, and ours beside them.
 * The command line, the mapping to RunSpec, the explanations and README's table all come from here (a test compares README).
 */
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';

export type OptionKind = 'text' | 'integer' | 'number' | 'boolean' | 'numbers';

interface OptionBase {
  /** The reference's name, with underscores; dashes are accepted too. */
  readonly name: string;
  readonly group: string;
  readonly kind: OptionKind;
  /** As people read it, in help and README; `none` where absent means off. */
  readonly default: string;
  readonly help: string;
}
/** Goes into the run's spec. Absent stays absent: the trainer fills in defaults. */
export interface SpecOption extends OptionBase {
  readonly field: keyof RunSpec;
}
/** Used by the command line itself. */
export interface CommandOption extends OptionBase {
  readonly command: true;
}
/** An option of the reference that has no counterpart here. */
export interface ExplainedOption extends OptionBase {
  /** What to do instead. */
  readonly instead: string;
  /** `note`: said and ignored, because results do not change. `refuse`: going on would train something else than was asked for. */
  readonly outcome: 'note' | 'refuse';
  /** Values that ask for what happens anyway, so that nothing needs saying. */
  readonly harmless?: readonly string[];
}
export type TrainOption = SpecOption | CommandOption | ExplainedOption;

type Row<T> = readonly [name: string, kind: OptionKind, default_: string, help: string, rest: T];

const spec = (group: string, rows: readonly Row<keyof RunSpec>[]): SpecOption[] =>
  rows.map(([name, kind, default_, help, field]) => ({ name, group, kind, default: default_, help, field }));
const command = (group: string, rows: readonly Row<true>[]): CommandOption[] =>
  rows.map(([name, kind, default_, help]) => ({ name, group, kind, default: default_, help, command: true }));
const explained = (group: string, rows: readonly Row<Pick<ExplainedOption, 'instead' | 'outcome' | 'harmless'>>[]): ExplainedOption[] =>
  rows.map(([name, kind, default_, help, rest]) => ({ name, group, kind, default: default_, help, ...rest }));

const note = (instead: string, harmless?: readonly string[]) => ({ outcome: 'note', instead, ...(harmless && { harmless }) }) as const;
const refuse = (instead: string, harmless?: readonly string[]) => ({ outcome: 'refuse', instead, ...(harmless && { harmless }) }) as const;

const off = ['false', 'no', '0', ''];
const on = ['true', 'yes', '1'];

export const trainOptions: readonly TrainOption[] = [
  ...spec('Run', [
    ['batch_size', 'integer', '64', 'images in a micro-batch, even with mixing', 'batchSize'],
    ['epochs', 'integer', '300', 'epochs', 'epochs'],
    ['update_freq', 'integer', '1', 'micro-batches accumulated into an optimizer step', 'updateFreq'],
    [
      'gradient_leaves',
      'integer',
      'min(16, update_freq)',
      'groups of micro-batches whose gradients are summed separately and then added in a fixed tree; decides the last bits',
      'gradientLeaves',
    ],
    ['seed', 'integer', '0', 'key of initialisation, order, augmentation and drops', 'seed'],
  ]),
  ...command('Run', [
    ['world', 'integer', '1', "the reference's processes, folded into accumulation: update_freq · world micro-batches of batch_size", true],
    ['world_size', 'integer', '1', 'as world', true],
    ['nodes', 'integer', 'none', "machines of the reference's launcher: world is nodes · ngpus", true],
    ['ngpus', 'integer', 'none', 'processes on each of them', true],
  ]),
  ...spec('Model', [
    ['model', 'text', 'required', 'vit_, mixer_, swin_ or convnext_ and a size, or a small one (--list_models)', 'model'],
    ['input_size', 'integer', "the model's", 'height and width of images, what the patch divides', 'inputSize'],
    ['nb_classes', 'integer', "the data set's", 'classes', 'nbClasses'],
    ['layer_scale_init_value', 'number', '1e-6', 'initial layer scale (ConvNeXt)', 'layerScaleInitValue'],
    ['head_init_scale', 'number', '1', "scale of the head's initial weights (ConvNeXt)", 'headInitScale'],
  ]),
  ...spec('Drop', [
    ['dropout', 'number', '0', 'dropout rate, [0, 1); not together with drop_path', 'dropout'],
    ['drop_path', 'number', '0', 'stochastic depth rate of the last block, [0, 1)', 'dropPath'],
    ['drop_mode', 'text', 'standard', 'standard, early or late', 'dropMode'],
    ['drop_schedule', 'text', 'constant', 'constant, or linear with early', 'dropSchedule'],
    ['cutoff_epoch', 'integer', '0', 'epoch where early drop ends or late drop begins', 'cutoffEpoch'],
    ['schedule', 'text', 'none', 'name of a stored schedule instead of the five options above', 'schedule'],
    ['schedule_revision', 'integer', '0 (newest)', 'revision of it to pin', 'scheduleRevision'],
    ['follow_schedule', 'boolean', 'false', 'take over later revisions while training', 'followSchedule'],
  ]),
  ...spec('EMA', [
    ['model_ema', 'boolean', 'false', 'keep a moving average of the weights', 'modelEma'],
    ['model_ema_decay', 'number', '0.9999', 'its decay a step', 'modelEmaDecay'],
    ['model_ema_eval', 'boolean', 'false', 'evaluate the average too', 'modelEmaEval'],
  ]),
  ...explained('EMA', [
    ['model_ema_force_cpu', 'boolean', 'false', 'average on the CPU', note('everything runs on the CPU here', [...off, ...on])],
  ]),
  ...spec('Optimizer', [
    ['opt', 'text', 'adamw', 'adamw, sgd (Nesterov) or momentum', 'opt'],
    ['opt_eps', 'number', '1e-8', "AdamW's epsilon", 'optEps'],
    ['opt_betas', 'numbers', '0.9 0.999', "AdamW's betas", 'optBetas'],
    ['clip_grad', 'number', 'none', 'largest global gradient norm', 'clipGrad'],
    ['momentum', 'number', '0.9', 'momentum of sgd and momentum', 'momentum'],
    ['weight_decay', 'number', '0.05', 'weight decay at the start', 'weightDecay'],
    ['weight_decay_end', 'number', 'constant', 'weight decay at the end (cosine)', 'weightDecayEnd'],
  ]),
  ...spec('Learning rate', [
    ['lr', 'number', '4e-3', 'peak learning rate; never scaled by the batch', 'lr'],
    ['min_lr', 'number', '1e-6', 'learning rate that the cosine tends to', 'minLr'],
    ['warmup_epochs', 'integer', '50', 'epochs of linear warm-up, at most epochs', 'warmupEpochs'],
    ['warmup_steps', 'integer', '-1', 'optimizer steps of warm-up, where above 0', 'warmupSteps'],
    ['layer_decay', 'number', '1', 'layer-wise learning-rate decay (ConvNeXt)', 'layerDecay'],
  ]),
  ...spec('Augmentation', [
    ['color_jitter', 'number', '0.4', 'strength of ColorJitter, used where aa is empty', 'colorJitter'],
    ['aa', 'text', 'rand-m9-mstd0.5-inc1', 'RandAugment; "" turns it off', 'aa'],
    ['smoothing', 'number', '0.1', 'label smoothing', 'smoothing'],
    ['train_interpolation', 'text', 'bicubic', 'bicubic, bilinear or random', 'trainInterpolation'],
    ['crop_padding', 'integer', '4', 'zero padding before the crop of images up to 32 pixels', 'cropPadding'],
    ['hflip', 'number', '0.5', 'probability of a horizontal flip', 'hflip'],
  ]),
  ...spec('Evaluation', [
    ['crop_pct', 'number', '0.875', 'share of the short side that the evaluation crop keeps', 'cropPct'],
    ['disable_eval', 'boolean', 'false', 'do not evaluate checkpoints', 'disableEval'],
  ]),
  ...command('Evaluation', [
    ['eval', 'boolean', 'false', 'train nothing: print loss, top-1 and top-5 of the checkpoint of --resume', true],
  ]),
  ...explained('Evaluation', [
    ['dist_eval', 'boolean', 'true', 'distributed evaluation', note('the evaluator service scores each sample once either way', on)],
  ]),
  ...spec('Erasing', [
    ['reprob', 'number', '0.25', 'probability of random erasing', 'reprob'],
    ['remode', 'text', 'pixel', 'pixel, rand or const', 'remode'],
    ['recount', 'integer', '1', 'largest number of erased boxes', 'recount'],
  ]),
  ...explained('Erasing', [
    ['resplit', 'boolean', 'false', 'spare the first augmentation split', refuse('there are no augmentation splits', off)],
  ]),
  ...spec('Mix', [
    ['mixup', 'number', '0.8', 'Beta parameter of mixup; 0: off', 'mixup'],
    ['cutmix', 'number', '1', 'Beta parameter of cutmix; 0: off', 'cutmix'],
    ['cutmix_minmax', 'numbers', 'none', 'two shares of the side; turns cutmix on', 'cutmixMinmax'],
    ['mixup_prob', 'number', '1', 'probability of mixing', 'mixupProb'],
    ['mixup_switch_prob', 'number', '0.5', 'probability of cutmix where both are on', 'mixupSwitchProb'],
    ['mixup_mode', 'text', 'batch', 'batch, pair or elem', 'mixupMode'],
  ]),
  ...spec('Finetune', [['finetune', 'text', 'none', 'checkpoint to take weights from, by its name', 'finetune']]),
  ...explained('Finetune', [
    [
      'model_key',
      'text',
      'model|module',
      'key in a .pth file',
      refuse('checkpoints have no keys: `checkpoints import --model-key` takes them from the file', ['model|module', '']),
    ],
    [
      'model_prefix',
      'text',
      '""',
      'prefix of names in a .pth file',
      refuse('checkpoints have no prefix: `checkpoints import --model-prefix` takes it off', ['']),
    ],
  ]),
  ...command('Data', [
    ['data_path', 'text', 'none', 'training images: a folder (or file set) that is indexed before the run', true],
    ['eval_data_path', 'text', 'val/ or test', 'evaluation images', true],
    ['data_set', 'text', 'by content', 'IMNET or image_folder, tar, CIFAR (100), cifar10, cifar100, idx', true],
  ]),
  ...spec('Data', [
    ['train_manifest', 'text', 'none', 'SHA-256 of an indexed data set, instead of data_path', 'trainManifest'],
    ['eval_manifest', 'text', 'none', 'SHA-256 of an indexed evaluation set', 'evalManifest'],
    ['imagenet_default_mean_and_std', 'boolean', 'true', "ImageNet's mean and deviation, else 0.5", 'imagenetDefaultMeanAndStd'],
    ['holdout_stride', 'integer', '0', 'leave out every n-th training image, for choosing settings', 'holdoutStride'],
    ['holdout_offset', 'integer', '0', 'first image left out', 'holdoutOffset'],
    ['max_undecodable', 'number', '0.001', 'share of undecodable images before the run fails', 'maxUndecodable'],
  ]),
  ...explained('Data', [
    [
      'num_workers',
      'integer',
      '10',
      'loader processes',
      note('the data service decodes: start more replicas, `dropstream up --data-replicas n`'),
    ],
    ['pin_mem', 'boolean', 'true', 'pinned memory', note('there is no GPU transfer', [...on, ...off])],
  ]),
  ...spec('Checkpoints', [
    ['save_ckpt', 'boolean', 'true', 'save checkpoints', 'saveCkpt'],
    ['save_ckpt_freq', 'integer', '1', 'epochs between checkpoints', 'saveCkptFreq'],
    ['save_ckpt_num', 'integer', '3', 'newest checkpoints kept; the best is kept besides', 'saveCkptNum'],
    ['save_ckpt_seconds', 'integer', '300', 'seconds between checkpoints within an epoch; 0: none', 'saveCkptSeconds'],
    ['exact', 'boolean', 'false', 'refuse to resume where the last bits could differ', 'exact'],
  ]),
  ...command('Checkpoints', [
    ['output_dir', 'text', 'none', 'folder for log.txt, one JSON line an epoch; checkpoints stay in the object store', true],
    ['auto_resume', 'boolean', 'true', 'go on with the run of the same run_id or output_dir; false: refuse where there is one', true],
    ['resume', 'text', 'none', 'with --eval: RUN/best, RUN/CHECKPOINT, or a .pth or .safetensors file', true],
  ]),
  ...explained('Checkpoints', [
    ['start_epoch', 'integer', '0', 'epoch to start at', refuse('a resumed run knows its step; begin a new one with --finetune', ['0'])],
  ]),
  ...spec('Engine', [
    ['engine', 'text', 'native', 'native, tfjs (cpu) or tensorflow', 'engine'],
    ['precision', 'text', 'fp32', 'fp32; or bf16 (native): products in bf16, residual stream and weights in fp32', 'precision'],
    [
      'checkpoint_blocks',
      'boolean',
      'false',
      'compute blocks again in the backward pass: less memory, equal bits (native)',
      'checkpointBlocks',
    ],
  ]),
  ...explained('Engine', [
    ['use_amp', 'boolean', 'false', 'mixed precision', note('give --precision bf16', off)],
    ['device', 'text', 'cuda', 'device', note('this version computes on the CPU', ['cpu'])],
    ['local_rank', 'integer', '-1', 'rank', note('workers claim runs; there are no ranks', ['-1', '0'])],
    ['dist_on_itp', 'boolean', 'false', 'cluster launcher', note('workers claim runs; there is no launcher', off)],
    ['dist_url', 'text', 'env://', 'rendezvous', note('workers claim runs; there is no rendezvous')],
  ]),
  ...command('Log', [['log_dir', 'text', 'none', 'folder for a TensorBoard event file', true]]),
  ...explained('Log', [
    ['job_dir', 'text', 'none', "the launcher's folder", note('give --output_dir')],
    [
      'enable_wandb',
      'boolean',
      'false',
      'Weights & Biases',
      note('metrics are at /metrics; the deploy folder has a Grafana dashboard', off),
    ],
    ['wandb_ckpt', 'boolean', 'false', 'checkpoints to W&B', note('checkpoints stay in the object store', off)],
  ]),
];

export const isSpecOption = (o: TrainOption): o is SpecOption => 'field' in o;
export const isExplainedOption = (o: TrainOption): o is ExplainedOption => 'instead' in o;
