/**
 * The table of all options of `dropstream train`: those of the reference, with their names, and those that Dropstream adds.
 * The command line, the mapping to RunSpec, the explanations and the tables in docs/training.md come from it (a test compares them).
 */
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';

export type OptionKind = 'text' | 'integer' | 'number' | 'boolean' | 'numbers' | 'range';

interface OptionBase {
  /** The reference's name, with underscores; dashes are accepted too. */
  readonly name: string;
  readonly group: string;
  readonly kind: OptionKind;
  /** The text that help and docs/training.md show; `none` if the feature is off by default. */
  readonly default: string;
  readonly help: string;
}
/** Becomes a field of the run's spec. An option that is not given stays absent, and the trainer fills in its default. */
export interface SpecOption extends OptionBase {
  readonly field: keyof RunSpec;
}
/** Read by the command line and not part of the spec. */
export interface CommandOption extends OptionBase {
  readonly command: true;
}
/** An option of the reference that Dropstream does not have. */
export interface ExplainedOption extends OptionBase {
  /** What the user should do instead. */
  readonly instead: string;
  /** `note`: the option is ignored with a message, because results do not depend on it. `refuse`: without it the results would be different. */
  readonly outcome: 'note' | 'refuse';
  /** Values that need no message, because they describe what happens anyway. */
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
    ['batch_size', 'integer', '64', 'number of images in a micro-batch; must be even if mixup or cutmix is on', 'batchSize'],
    ['epochs', 'integer', '300', 'number of epochs to train', 'epochs'],
    ['update_freq', 'integer', '1', 'number of micro-batches whose gradients are accumulated for one optimizer step', 'updateFreq'],
    [
      'gradient_leaves',
      'integer',
      'min(16, update_freq)',
      'number of groups of micro-batches whose gradients are summed separately and then added in a fixed binary tree, 1 to 16; changes the rounding of gradients',
      'gradientLeaves',
    ],
    [
      'workers',
      'range',
      '1',
      'number of workers that may compute a step together, N or MIN-MAX, at most gradient_leaves; below MIN the run waits; it changes no result',
      'workers',
    ],
    ['priority', 'integer', '0', 'which runs workers take first, -1000 to 1000: those with the greatest priority', 'priority'],
    ['seed', 'integer', '0', 'seed of the initial weights, the data order, the augmentation and the drop masks', 'seed'],
  ]),
  ...command('Run', [
    [
      'world',
      'integer',
      '1',
      'number of processes that the reference would use; each step accumulates update_freq · world micro-batches instead',
      true,
    ],
    ['world_size', 'integer', '1', 'same as --world, under the name that the reference uses', true],
    ['nodes', 'integer', 'none', "number of machines in the reference's cluster launcher; sets world to nodes · ngpus", true],
    ['ngpus', 'integer', 'none', 'number of processes on each machine; given together with --nodes', true],
  ]),
  ...spec('Model', [
    ['model', 'text', 'required', 'name of the model, for example vit_tiny; --list_models prints all names', 'model'],
    [
      'input_size',
      'integer',
      "the model's",
      "height and width of the input images in pixels; must be a multiple of the model's patch size",
      'inputSize',
    ],
    ['nb_classes', 'integer', "the data set's", 'number of classes', 'nbClasses'],
    ['layer_scale_init_value', 'number', '1e-6', 'initial value of the layer scale (ConvNeXt only)', 'layerScaleInitValue'],
    [
      'head_init_scale',
      'number',
      '1',
      'factor that the initial weights of the classification head are multiplied by (ConvNeXt only)',
      'headInitScale',
    ],
  ]),
  ...spec('Drop', [
    ['dropout', 'number', '0', 'dropout rate, [0, 1); cannot be combined with drop_path', 'dropout'],
    [
      'drop_path',
      'number',
      '0',
      'stochastic depth rate of the last block, [0, 1); the rates of earlier blocks rise linearly from 0',
      'dropPath',
    ],
    [
      'drop_mode',
      'text',
      'standard',
      'when the drop is active: standard (always), early (before cutoff_epoch) or late (from cutoff_epoch on)',
      'dropMode',
    ],
    [
      'drop_schedule',
      'text',
      'constant',
      'how the drop rate changes while it is active: constant, or linear (falls to 0; only with early)',
      'dropSchedule',
    ],
    [
      'cutoff_epoch',
      'integer',
      '0',
      'epoch at which early drop ends or late drop begins; with --cutoff adaptive, the latest end (default: epochs)',
      'cutoffEpoch',
    ],
    [
      'cutoff',
      'text',
      'fixed',
      'what ends early drop: fixed (cutoff_epoch) or adaptive (measurements of the gradients, docs/studies.md)',
      'cutoff',
    ],
    [
      'cutoff_every',
      'integer',
      'epochs / 30',
      'with --cutoff adaptive: number of epochs between two measurements; the default is rounded down, and at least 1',
      'cutoffEvery',
    ],
    ['cutoff_batches', 'integer', '32', 'with --cutoff adaptive: number of mini-batches of a measurement', 'cutoffBatches'],
    [
      'cutoff_patience',
      'integer',
      '2',
      'with --cutoff adaptive: number of consecutive measurements in which drop must not have helped before it ends',
      'cutoffPatience',
    ],
    [
      'schedule',
      'text',
      'none',
      'name of a stored drop schedule, which replaces dropout, drop_path, drop_mode, drop_schedule and cutoff_epoch',
      'schedule',
    ],
    ['schedule_revision', 'integer', '0 (newest)', 'revision of the stored schedule that the run uses', 'scheduleRevision'],
    [
      'follow_schedule',
      'boolean',
      'false',
      'use later revisions of the stored schedule as soon as they appear during training',
      'followSchedule',
    ],
  ]),
  ...spec('EMA', [
    ['model_ema', 'boolean', 'false', 'keep an exponential moving average (EMA) of the weights', 'modelEma'],
    ['model_ema_decay', 'number', '0.9999', 'decay factor of the moving average, applied after every optimizer step', 'modelEmaDecay'],
    ['model_ema_eval', 'boolean', 'false', 'evaluate the moving average as well as the weights', 'modelEmaEval'],
  ]),
  ...explained('EMA', [
    [
      'model_ema_force_cpu',
      'boolean',
      'false',
      'keep the moving average on the CPU',
      note('all computation runs on the CPU', [...off, ...on]),
    ],
  ]),
  ...spec('Optimizer', [
    ['opt', 'text', 'adamw', 'optimizer: adamw, sgd (with Nesterov momentum) or momentum (classical)', 'opt'],
    ['opt_eps', 'number', '1e-8', 'epsilon of AdamW', 'optEps'],
    ['opt_betas', 'numbers', '0.9 0.999', 'the two betas of AdamW', 'optBetas'],
    ['clip_grad', 'number', 'none', 'clip the global L2 norm of the gradients to this value', 'clipGrad'],
    ['momentum', 'number', '0.9', 'momentum of the optimizers sgd and momentum', 'momentum'],
    ['weight_decay', 'number', '0.05', 'weight decay at the beginning of training', 'weightDecay'],
    ['weight_decay_end', 'number', 'constant', 'weight decay at the end of training, reached along a cosine', 'weightDecayEnd'],
  ]),
  ...spec('Learning rate', [
    ['lr', 'number', '4e-3', 'peak learning rate; it is not scaled with the batch size', 'lr'],
    ['min_lr', 'number', '1e-6', 'learning rate at the end of the cosine schedule', 'minLr'],
    ['warmup_epochs', 'integer', '50', 'number of epochs of linear warm-up; at most --epochs', 'warmupEpochs'],
    ['warmup_steps', 'integer', '-1', 'number of optimizer steps of warm-up; if above 0, it replaces warmup_epochs', 'warmupSteps'],
    ['layer_decay', 'number', '1', 'layer-wise decay factor of the learning rate (ConvNeXt only)', 'layerDecay'],
  ]),
  ...spec('Augmentation', [
    ['color_jitter', 'number', '0.4', 'strength of ColorJitter; only used if aa is empty', 'colorJitter'],
    ['aa', 'text', 'rand-m9-mstd0.5-inc1', 'RandAugment policy; "" turns it off', 'aa'],
    ['smoothing', 'number', '0.1', 'label smoothing, [0, 1)', 'smoothing'],
    ['train_interpolation', 'text', 'bicubic', 'filter that resizes training images: bicubic, bilinear or random', 'trainInterpolation'],
    ['crop_padding', 'integer', '4', 'zero padding in pixels before the random crop; only used if input_size is at most 32', 'cropPadding'],
    ['hflip', 'number', '0.5', 'probability of a horizontal flip', 'hflip'],
  ]),
  ...spec('Evaluation', [
    ['crop_pct', 'number', '0.875', 'fraction of the short side that the center crop keeps in evaluation', 'cropPct'],
    ['disable_eval', 'boolean', 'false', 'do not evaluate checkpoints during training', 'disableEval'],
  ]),
  ...command('Evaluation', [
    ['eval', 'boolean', 'false', 'do not train; evaluate the checkpoint that --resume names and print its loss, top-1 and top-5', true],
  ]),
  ...explained('Evaluation', [
    ['dist_eval', 'boolean', 'true', 'distributed evaluation', note('the evaluator service always scores each sample once', on)],
  ]),
  ...spec('Erasing', [
    ['reprob', 'number', '0.25', 'probability of random erasing', 'reprob'],
    ['remode', 'text', 'pixel', 'fill of erased boxes: pixel (noise for each pixel), rand (one color) or const (0)', 'remode'],
    ['recount', 'integer', '1', 'maximum number of erased boxes in an image', 'recount'],
  ]),
  ...explained('Erasing', [
    ['resplit', 'boolean', 'false', 'do not erase in the first augmentation split', refuse('there are no augmentation splits', off)],
  ]),
  ...spec('Mix', [
    ['mixup', 'number', '0.8', 'alpha of the Beta distribution from which mixup draws its ratio; 0 turns mixup off', 'mixup'],
    ['cutmix', 'number', '1', 'alpha of the Beta distribution from which cutmix draws its ratio; 0 turns cutmix off', 'cutmix'],
    [
      'cutmix_minmax',
      'numbers',
      'none',
      'minimum and maximum side of the cutmix box as fractions of the image side; turns cutmix on',
      'cutmixMinmax',
    ],
    ['mixup_prob', 'number', '1', 'probability that mixup or cutmix is applied', 'mixupProb'],
    ['mixup_switch_prob', 'number', '0.5', 'probability of cutmix instead of mixup if both are on', 'mixupSwitchProb'],
    [
      'mixup_mode',
      'text',
      'batch',
      'which images share their mixing parameters: batch (all of a micro-batch), pair (two partners) or elem (none)',
      'mixupMode',
    ],
  ]),
  ...spec('Finetune', [
    ['finetune', 'text', 'none', 'stored checkpoint whose weights the run starts with: RUN, RUN/best or RUN/CHECKPOINT', 'finetune'],
  ]),
  ...explained('Finetune', [
    [
      'model_key',
      'text',
      'model|module',
      'key of the weights in a .pth file',
      refuse('stored checkpoints have no keys; use `dropstream checkpoints import --model-key` when you import the file', [
        'model|module',
        '',
      ]),
    ],
    [
      'model_prefix',
      'text',
      '""',
      'prefix of the parameter names in a .pth file',
      refuse('stored checkpoints have no prefix; use `dropstream checkpoints import --model-prefix` when you import the file', ['']),
    ],
  ]),
  ...command('Data', [
    ['data_path', 'text', 'none', 'folder of training images (or of shard, CIFAR or IDX files); it is indexed before the run starts', true],
    ['eval_data_path', 'text', 'val/ or test', 'folder of evaluation images', true],
    [
      'data_set',
      'text',
      'by content',
      'format of the data set: IMNET or image_folder, tar, CIFAR (CIFAR-100), cifar10, cifar100, idx',
      true,
    ],
  ]),
  ...spec('Data', [
    ['train_manifest', 'text', 'none', 'SHA-256 of the manifest of an indexed training set; replaces data_path', 'trainManifest'],
    ['eval_manifest', 'text', 'none', 'SHA-256 of the manifest of an indexed evaluation set', 'evalManifest'],
    [
      'imagenet_default_mean_and_std',
      'boolean',
      'true',
      'normalize images with the mean and standard deviation of ImageNet; false: with 0.5 for all channels',
      'imagenetDefaultMeanAndStd',
    ],
    [
      'holdout_stride',
      'integer',
      '0',
      'hold out every n-th training image, so that settings can be compared on the held-out images; 0: none',
      'holdoutStride',
    ],
    ['holdout_offset', 'integer', '0', 'index of the first held-out image', 'holdoutOffset'],
    ['max_undecodable', 'number', '0.001', 'largest fraction of images that cannot be decoded; the run fails above it', 'maxUndecodable'],
  ]),
  ...explained('Data', [
    [
      'num_workers',
      'integer',
      '10',
      'number of loader processes',
      note('the data service decodes images; start more replicas of it with `dropstream up --data-replicas N`'),
    ],
    ['pin_mem', 'boolean', 'true', 'pinned memory', note('nothing is copied to a GPU', [...on, ...off])],
  ]),
  ...spec('Checkpoints', [
    ['save_ckpt', 'boolean', 'true', 'save checkpoints', 'saveCkpt'],
    ['save_ckpt_freq', 'integer', '1', 'number of epochs between checkpoints', 'saveCkptFreq'],
    ['save_ckpt_num', 'integer', '3', 'number of newest checkpoints that are kept, besides the best one', 'saveCkptNum'],
    ['save_ckpt_seconds', 'integer', '300', 'number of seconds between checkpoints within an epoch; 0: none', 'saveCkptSeconds'],
    [
      'exact',
      'boolean',
      'false',
      "resume only on a worker with the same numerics as the run's newest checkpoint; until one is free, the run stays queued",
      'exact',
    ],
  ]),
  ...command('Checkpoints', [
    ['output_dir', 'text', 'none', 'folder for log.txt, which gets one line of JSON per epoch; checkpoints stay in the object store', true],
    [
      'auto_resume',
      'boolean',
      'true',
      'continue the run with the same run_id or output_dir if there is one; false: report an error instead',
      true,
    ],
    ['resume', 'text', 'none', 'checkpoint that --eval evaluates: RUN/best, RUN/CHECKPOINT, or a .pth or .safetensors file', true],
  ]),
  ...explained('Checkpoints', [
    ['start_epoch', 'integer', '0', 'epoch to start at', refuse('a resumed run knows its step; start a new run with --finetune', ['0'])],
  ]),
  ...spec('Engine', [
    [
      'engine',
      'text',
      'native',
      'what computes the model: native, webgpu (a GPU), auto (a GPU if the worker has one that is right and faster, otherwise native), tfjs (plain JavaScript) or tensorflow',
      'engine',
    ],
    [
      'precision',
      'text',
      'fp32',
      'fp32, bf16 (engines native and webgpu) or f16 (engine webgpu); bf16 and f16 compute matrix products of 16-bit numbers and keep weights and the residual stream in fp32; f16 scales the loss',
      'precision',
    ],
    [
      'checkpoint_blocks',
      'boolean',
      'false',
      'recompute the activations of each block in the backward pass; needs less memory and gives identical results (engines native and webgpu)',
      'checkpointBlocks',
    ],
  ]),
  ...command('Engine', [
    ['device', 'text', 'none', 'the name that the reference uses: cuda means --engine auto, cpu means --engine native', true],
  ]),
  ...explained('Engine', [
    ['use_amp', 'boolean', 'false', 'mixed precision', note('use --precision bf16', off)],
    ['local_rank', 'integer', '-1', 'rank of the process', note('workers claim runs, so there are no ranks', ['-1', '0'])],
    ['dist_on_itp', 'boolean', 'false', 'use the cluster launcher', note('workers claim runs, so there is no launcher', off)],
    ['dist_url', 'text', 'env://', 'address of the rendezvous', note('workers claim runs, so there is no rendezvous')],
  ]),
  ...command('Log', [['log_dir', 'text', 'none', 'folder for a TensorBoard event file', true]]),
  ...explained('Log', [
    ['job_dir', 'text', 'none', 'folder of the cluster launcher', note('use --output_dir')],
    [
      'enable_wandb',
      'boolean',
      'false',
      'Weights & Biases',
      note('the services publish metrics at /metrics, and the folder deploy/ has Grafana dashboards', off),
    ],
    ['wandb_ckpt', 'boolean', 'false', 'upload checkpoints to Weights & Biases', note('checkpoints stay in the object store', off)],
  ]),
];

export const isSpecOption = (o: TrainOption): o is SpecOption => 'field' in o;
export const isExplainedOption = (o: TrainOption): o is ExplainedOption => 'instead' in o;
