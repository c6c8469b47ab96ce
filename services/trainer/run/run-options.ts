/**
 * Every option of a run with its proto name, default and allowed values. Rules that concern several options, the model or the data set are
 * in run-spec.ts.
 */
import { maxClasses } from '#errors/limits.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { EnumWords } from '#spec/enum-words.js';
import { runSpecEnums } from '#spec/words.js';
import { maxPriority } from '#work/queue-hints.js';

/** The optional fields of RunSpec that have one value. */
export type OptionKey = Exclude<
  {
    [K in keyof RunSpec]-?: undefined extends RunSpec[K] ? K : never;
  }[keyof RunSpec],
  'workers'
>;

type Value = number | bigint | string | boolean;

interface Option {
  /** Name in the proto, on the command line and in violations. */
  readonly name: string;
  /** Undefined if the default depends on other values (run-spec.ts) or is "none". */
  readonly fallback: Value | undefined;
  /** Allowed values, as the end of the sentence "must be …". */
  readonly allowed: string;
  readonly holds: (value: Value) => boolean;
}

const option = (name: string, fallback: Value | undefined, allowed: string, holds: (value: Value) => boolean): Option => ({
  name,
  fallback,
  allowed,
  holds,
});

const whole = (name: string, fallback: number | undefined, min: number, max: number): Option =>
  option(name, fallback, `a whole number from ${min} to ${max}`, (v) => Number.isInteger(v) && Number(v) >= min && Number(v) <= max);

const flag = (name: string, fallback: boolean | undefined): Option =>
  option(name, fallback, 'true or false', (v) => typeof v === 'boolean');

/** An enum of the protos, in which UNSPECIFIED means the default. */
const choice = <T>(name: string, { names, fallback, fromWord, has }: EnumWords<T>): Option =>
  option(name, fromWord(fallback), `one of ${names.join(', ')}`, (v) => typeof v === 'number' && has(v));

const finite = (v: Value): boolean => typeof v === 'number' && Number.isFinite(v);
const notNegative = (name: string, fallback: number | undefined): Option =>
  option(name, fallback, 'a finite number of at least 0', (v) => finite(v) && Number(v) >= 0);
const positive = (name: string, fallback: number | undefined): Option =>
  option(name, fallback, 'a finite number above 0', (v) => finite(v) && Number(v) > 0);
const probability = (name: string, fallback: number): Option =>
  option(name, fallback, 'at least 0 and at most 1', (v) => finite(v) && Number(v) >= 0 && Number(v) <= 1);
/** [0, 1) */
const belowOne = (name: string, fallback: number): Option =>
  option(name, fallback, 'at least 0 and below 1', (v) => finite(v) && Number(v) >= 0 && Number(v) < 1);

const maxU64 = 2n ** 64n - 1n;
const maxSteps = 10n ** 13n;
/** Largest number of leaves of a step's gradient. */
export const maxGradientLeaves = 16;

export const runOptions: { readonly [K in OptionKey]: Option } = {
  inputSize: whole('input_size', undefined, 8, 1024),
  nbClasses: whole('nb_classes', undefined, 1, maxClasses),
  batchSize: whole('batch_size', 64, 1, 65_536),
  epochs: whole('epochs', 300, 1, 100_000),
  updateFreq: whole('update_freq', 1, 1, 4096),
  seed: option('seed', 0n, '0 to 2^64 - 1', (v) => typeof v === 'bigint' && v >= 0n && v <= maxU64),
  dropout: belowOne('dropout', 0),
  dropPath: belowOne('drop_path', 0),
  dropMode: choice('drop_mode', runSpecEnums.dropMode),
  dropSchedule: choice('drop_schedule', runSpecEnums.dropSchedule),
  cutoffEpoch: whole('cutoff_epoch', 0, 0, 100_000),
  cutoff: choice('cutoff', runSpecEnums.cutoff),
  cutoffEvery: whole('cutoff_every', undefined, 1, 100_000),
  cutoffBatches: whole('cutoff_batches', undefined, 2, 10_000),
  cutoffPatience: whole('cutoff_patience', undefined, 1, 1000),
  followSchedule: flag('follow_schedule', false),
  modelEma: flag('model_ema', false),
  modelEmaDecay: option('model_ema_decay', 0.9999, 'above 0 and below 1', (v) => finite(v) && Number(v) > 0 && Number(v) < 1),
  modelEmaEval: flag('model_ema_eval', false),
  opt: choice('opt', runSpecEnums.opt),
  optEps: positive('opt_eps', 1e-8),
  clipGrad: positive('clip_grad', undefined),
  momentum: belowOne('momentum', 0.9),
  weightDecay: notNegative('weight_decay', 0.05),
  weightDecayEnd: notNegative('weight_decay_end', undefined),
  lr: notNegative('lr', 4e-3),
  minLr: notNegative('min_lr', 1e-6),
  warmupEpochs: whole('warmup_epochs', 50, 0, 100_000),
  warmupSteps: option('warmup_steps', -1n, `-1 to ${maxSteps}`, (v) => typeof v === 'bigint' && v >= -1n && v <= maxSteps),
  layerDecay: option('layer_decay', 1, 'above 0 and at most 1', (v) => finite(v) && Number(v) > 0 && Number(v) <= 1),
  layerScaleInitValue: option('layer_scale_init_value', 1e-6, 'a finite number', finite),
  headInitScale: option('head_init_scale', 1, 'a finite number', finite),
  colorJitter: notNegative('color_jitter', 0.4),
  aa: option('aa', 'rand-m9-mstd0.5-inc1', 'a RandAugment string of at most 200 characters, or empty', (v) => String(v).length <= 200),
  smoothing: belowOne('smoothing', 0.1),
  trainInterpolation: choice('train_interpolation', runSpecEnums.trainInterpolation),
  cropPct: option('crop_pct', undefined, 'above 0 and at most 1', (v) => finite(v) && Number(v) > 0 && Number(v) <= 1),
  reprob: probability('reprob', 0.25),
  remode: choice('remode', runSpecEnums.remode),
  recount: whole('recount', 1, 1, 16),
  imagenetDefaultMeanAndStd: flag('imagenet_default_mean_and_std', true),
  cropPadding: whole('crop_padding', 4, 0, 32),
  hflip: probability('hflip', 0.5),
  mixup: notNegative('mixup', 0.8),
  cutmix: notNegative('cutmix', 1),
  mixupProb: probability('mixup_prob', 1),
  mixupSwitchProb: probability('mixup_switch_prob', 0.5),
  mixupMode: choice('mixup_mode', runSpecEnums.mixupMode),
  saveCkpt: flag('save_ckpt', true),
  saveCkptFreq: whole('save_ckpt_freq', 1, 1, 100_000),
  saveCkptNum: whole('save_ckpt_num', 3, 1, 1000),
  saveCkptSeconds: whole('save_ckpt_seconds', 300, 0, 86_400),
  disableEval: flag('disable_eval', undefined),
  engine: choice('engine', runSpecEnums.engine),
  precision: choice('precision', runSpecEnums.precision),
  checkpointBlocks: flag('checkpoint_blocks', false),
  exact: flag('exact', false),
  maxUndecodable: probability('max_undecodable', 0.001),
  holdoutStride: whole('holdout_stride', 0, 0, 2 ** 31 - 1),
  holdoutOffset: whole('holdout_offset', 0, 0, 2 ** 31 - 1),
  gradientLeaves: whole('gradient_leaves', undefined, 1, maxGradientLeaves),
  priority: whole('priority', 0, -maxPriority, maxPriority),
};
