/**
 * Checks the spec of a request against the rules of the reference, collects all violations, and fills in defaults. Pure: facts about the
 * data set, model and schedule are arguments.
 */

import { createHash } from 'node:crypto';
import { classDifference } from '#data/manifest/class-difference.js';
import { executorAsked, lacks } from '#engine/engines.js';
import type { Violations } from '#errors/errors.js';
import type { Family } from '#nn/models/registry.js';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { DropScheduleSpec } from '#protocol/dropstream/v1/schedule_types.js';
import { runDropOf } from '#spec/drop-schedules.js';
import { dropModes, dropSchedules, engines, isRunSpecEnum, precisions } from '#spec/words.js';
import { isSha256 } from '#storage/content-hash.js';
import { adaptiveOptions, checkCutoff, resolvedCutoff } from './cutoff-options.js';
import { maxGradientLeaves, type OptionKey, runOptions } from './run-options.js';

/** Options without a default, which stay absent if they are not given, and those that runs of version 0.2 lack. */
const mayBeAbsent = [
  'clipGrad',
  'weightDecayEnd',
  'cropPct',
  'priority',
  'cutoff',
  ...adaptiveOptions,
] as const satisfies readonly OptionKey[];
type MayBeAbsent = (typeof mayBeAbsent)[number];

/** A spec in which every default is filled in. */
export type ResolvedSpec = RunSpec & { [K in Exclude<OptionKey, MayBeAbsent>]-?: NonNullable<RunSpec[K]> };

/** The facts about models that the rules of a spec need. */
export interface ModelCatalog {
  readonly names: readonly string[];
  /** Default image size of a model in pixels. */
  inputSize(model: string): number;
  family(model: string): Family;
  /** Which of the options that only some models have a model takes: dropout, ConvNeXt's initial scales, layer decay. */
  takes(model: string): { readonly dropout: boolean; readonly initOptions: boolean; readonly layerDecay: boolean };
  /** Which of the two values the model refuses, or undefined. `allowed` is the end of the sentence "must be …". */
  refusal(
    model: string,
    inputSize: number,
    classes: number,
  ): { readonly field: 'input_size' | 'nb_classes'; readonly allowed: string } | undefined;
}

/** The facts about a data set that the rules of a spec need. */
export interface DatasetFacts {
  readonly samples: number;
  readonly classes: readonly string[];
}

/** The lengths of a training, computed from the spec and the data set. */
export interface RunLength {
  /** Number of training samples: those of the manifest without the held-out ones. */
  readonly trainSamples: number;
  /** Optimizer steps in an epoch. */
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** Optimizer steps of warm-up. */
  readonly warmupSteps: number;
}

const manifestRule = 'the SHA-256 of a manifest: 64 of 0-9 and a-f';

/** Digest of the spec and the labels in a request (64 hex digits), which is equal for repeated requests. */
export function requestDigest(spec: RunSpec, labels: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).update(RunSpec.encode(spec).finish()).digest('hex');
}

/**
 * Checks all rules that need neither data set nor schedule. Fields of violations start with `spec.`.
 */
export function checkRunSpec(violations: Violations, spec: RunSpec, models: ModelCatalog): void {
  const refuse = (holds: boolean, field: string, value: unknown, allowed: string): boolean =>
    violations.check(holds, `spec.${field}`, value, allowed);

  const known = refuse(models.names.includes(spec.model), 'model', spec.model, `one of ${models.names.join(', ')}`);
  refuse(isSha256(spec.trainManifest), 'train_manifest', spec.trainManifest, manifestRule);
  refuse(spec.evalManifest === '' || isSha256(spec.evalManifest), 'eval_manifest', spec.evalManifest, `empty or ${manifestRule}`);

  const bad = new Set<OptionKey>();
  for (const [key, { name, allowed, holds }] of Object.entries(runOptions) as [OptionKey, (typeof runOptions)[OptionKey]][]) {
    const value = spec[key];
    if (value !== undefined && !refuse(holds(value), name, value, allowed)) bad.add(key);
  }
  /** Rules about several options are only applied to values that are valid by themselves. */
  const sound = (...keys: OptionKey[]): boolean => keys.every((key) => !bad.has(key));
  const value = withOptionDefaults(spec);

  checkLists(refuse, spec);
  checkDrop(refuse, spec, sound);
  if (sound('epochs', 'warmupEpochs', 'warmupSteps') && value.warmupSteps <= 0n) {
    refuse(value.warmupEpochs <= value.epochs, 'warmup_epochs', value.warmupEpochs, `at most ${value.epochs} (epochs)`);
  }
  if (sound('epochs', 'saveCkptFreq')) {
    refuse(value.saveCkptFreq <= value.epochs, 'save_ckpt_freq', value.saveCkptFreq, `at most ${value.epochs} (epochs)`);
  }
  if (sound('batchSize', 'mixup', 'cutmix') && mixes(value)) {
    refuse(value.batchSize % 2 === 0, 'batch_size', value.batchSize, 'even if mixup or cutmix is on');
  }
  if (sound('holdoutStride', 'holdoutOffset')) {
    refuse(value.holdoutStride !== 1, 'holdout_stride', 1, '0 or at least 2: a stride of 1 would hold out every sample');
    refuse(
      value.holdoutOffset < Math.max(1, value.holdoutStride),
      'holdout_offset',
      value.holdoutOffset,
      value.holdoutStride === 0 ? '0 if holdout_stride is 0' : `below ${value.holdoutStride} (holdout_stride)`,
    );
  }
  if (sound('gradientLeaves', 'updateFreq') && spec.gradientLeaves !== undefined) {
    const leaves = spec.gradientLeaves;
    refuse(
      leaves <= value.updateFreq,
      'gradient_leaves',
      leaves,
      `at most ${value.updateFreq} (update_freq), because each leaf needs a micro-batch`,
    );
  }
  if (spec.workers !== undefined) checkWorkers(refuse, spec, sound('gradientLeaves', 'updateFreq') ? leavesOf(value) : undefined);
  if (sound('engine')) checkEngine(refuse, value, known ? models : undefined, sound);
  refuse(!(value.modelEmaEval && !value.modelEma), 'model_ema_eval', value.modelEmaEval, 'false if model_ema is false');
  refuse(!(spec.disableEval === false && spec.evalManifest === ''), 'disable_eval', false, 'absent or true if eval_manifest is empty');
  if (known) checkModelOptions(refuse, value, models, sound);
  if (known && sound('inputSize', 'nbClasses')) {
    const size = spec.inputSize ?? models.inputSize(spec.model);
    const refusal = models.refusal(spec.model, size, spec.nbClasses ?? 1);
    if (refusal) refuse(false, refusal.field, refusal.field === 'input_size' ? size : spec.nbClasses, refusal.allowed);
  }
}

/** Numbers of workers of a run, with their defaults. */
export function workersOf({ workers }: Pick<RunSpec, 'workers'>): { readonly min: number; readonly max: number } {
  const min = workers?.min || 1;
  return { min, max: workers?.max || min };
}

/** Leaves of a step's gradient: each group of micro-batches that is summed by itself. */
function leavesOf({
  gradientLeaves,
  updateFreq,
}: Pick<ResolvedSpec, 'updateFreq'> & { readonly gradientLeaves?: number | undefined }): number {
  return gradientLeaves ?? Math.min(maxGradientLeaves, updateFreq);
}

/** Checks how many workers may train the run together. @param leaves undefined if that is refused itself */
function checkWorkers(refuse: Refuse, spec: RunSpec, leaves: number | undefined): void {
  const given = spec.workers ?? { min: 0, max: 0 };
  const least = refuse(given.min >= 0, 'workers.min', given.min, 'at least 1, or 0 for the default');
  const most = refuse(given.max >= 0, 'workers.max', given.max, 'at least 1, or 0 for the default');
  if (!least || !most) return;
  const { min, max } = workersOf(spec);
  if (!refuse(min <= max, 'workers.max', max, `at least ${min} (workers.min)`) || leaves === undefined) return;
  const [field, value] = given.max > 0 ? (['workers.max', max] as const) : (['workers.min', min] as const);
  const one = '1, because a step has one leaf: raise update_freq, with a smaller batch_size, so that several workers can share a step';
  const several = `at most ${leaves} (gradient_leaves), because every worker needs a leaf: lower it, or raise gradient_leaves and update_freq`;
  if (!refuse(max <= leaves, field, value, leaves === 1 ? one : several) || max === 1) return;
  const f16 = '1 with precision f16, whose loss scale one worker decides; or use precision bf16';
  refuse(spec.precision !== Precision.F16, field, value, f16);
}

/** Checks the options that not every engine supports. `models` is undefined if the model is unknown. */
function checkEngine(
  refuse: Refuse,
  value: ResolvedSpec,
  models: ModelCatalog | undefined,
  sound: (...keys: OptionKey[]) => boolean,
): void {
  const engine = engines.wordOf(value.engine);
  const found = lacks(executorAsked(engine), {
    precision: sound('precision') ? precisions.wordOf(value.precision) : 'fp32',
    checkpointBlocks: value.checkpointBlocks,
    model: models && { name: value.model, family: models.family(value.model) },
  });
  for (const lack of found) refuse(false, lack.field, lack.value, `${lack.allowed} on engine ${engine}`);
}

/** Checks the options that only some models have. */
function checkModelOptions(refuse: Refuse, value: ResolvedSpec, models: ModelCatalog, sound: (...keys: OptionKey[]) => boolean): void {
  const takes = models.takes(value.model);
  if (sound('layerDecay') && !takes.layerDecay) {
    const owners = models.names.filter((name) => models.takes(name).layerDecay).join(', ');
    refuse(value.layerDecay === 1, 'layer_decay', value.layerDecay, `1 for this model: only ${owners} have layer decay`);
  }
  if (!takes.initOptions) {
    const { layerScaleInitValue, headInitScale } = value;
    refuse(layerScaleInitValue === 1e-6, 'layer_scale_init_value', layerScaleInitValue, 'absent or 1e-6: only ConvNeXt uses it');
    refuse(headInitScale === 1, 'head_init_scale', headInitScale, 'absent or 1: only ConvNeXt uses it');
  }
  if (!takes.dropout && value.schedule === '' && sound('dropout')) {
    refuse(value.dropout === 0, 'dropout', value.dropout, '0 for this model: ConvNeXt has stochastic depth (drop_path) only');
  }
}

export type Refuse = (holds: boolean, field: string, value: unknown, allowed: string) => boolean;

function checkLists(refuse: Refuse, { optBetas, cutmixMinmax }: RunSpec): void {
  const rate = (beta: number): boolean => beta >= 0 && beta < 1;
  refuse(
    optBetas.length === 0 || (optBetas.length === 2 && optBetas.every(rate)),
    'opt_betas',
    optBetas.join(', '),
    'none or two values, each at least 0 and below 1',
  );
  const [low, high] = cutmixMinmax;
  refuse(
    cutmixMinmax.length === 0 ||
      (cutmixMinmax.length === 2 && low !== undefined && high !== undefined && low >= 0 && low < high && high <= 1),
    'cutmix_minmax',
    cutmixMinmax.join(', '),
    'none or two values, 0 <= min < max <= 1',
  );
}

function checkDrop(refuse: Refuse, spec: RunSpec, sound: (...keys: OptionKey[]) => boolean): void {
  if (spec.schedule !== '') {
    for (const key of ['dropout', 'dropPath', 'dropMode', 'dropSchedule', 'cutoffEpoch', 'cutoff', ...adaptiveOptions] as const) {
      refuse(spec[key] === undefined, runOptions[key].name, spec[key], 'absent if schedule is given, because the schedule determines it');
    }
    return;
  }
  refuse(spec.scheduleRevision === 0n, 'schedule_revision', spec.scheduleRevision, '0 if schedule is empty');
  refuse(spec.followSchedule !== true, 'follow_schedule', true, 'absent or false if schedule is empty');
  const value = withOptionDefaults(spec);
  if (sound('dropout', 'dropPath')) {
    refuse(!(value.dropout > 0 && value.dropPath > 0), 'drop_path', value.dropPath, `0 if dropout is above 0 (it is ${value.dropout})`);
  }
  if (sound('dropMode', 'dropSchedule')) {
    const linear = dropSchedules.wordOf(value.dropSchedule) === 'linear';
    refuse(!(dropModes.wordOf(value.dropMode) === 'late' && linear), 'drop_schedule', 'linear', 'constant if drop_mode is late');
  }
  if (sound('epochs', 'cutoffEpoch')) {
    refuse(value.cutoffEpoch <= value.epochs, 'cutoff_epoch', value.cutoffEpoch, `at most ${value.epochs} (epochs)`);
  }
  if (sound('cutoff')) checkCutoff(refuse, spec, value, sound);
}

/** Checks the rules about the training data set. @returns undefined if an option that the lengths depend on is not valid */
export function checkLength(violations: Violations, spec: RunSpec, train: DatasetFacts): RunLength | undefined {
  const keys = ['batchSize', 'updateFreq', 'epochs', 'warmupEpochs', 'warmupSteps', 'holdoutStride', 'holdoutOffset', 'nbClasses'] as const;
  if (keys.some((key) => spec[key] !== undefined && !runOptions[key].holds(spec[key]))) return undefined;
  const value = withOptionDefaults(spec);
  if (value.holdoutStride === 1) return undefined;
  if (spec.nbClasses !== undefined) {
    const classes = train.classes.length;
    violations.check(
      spec.nbClasses >= classes,
      'spec.nb_classes',
      spec.nbClasses,
      `at least ${classes}, the number of classes in the data set`,
    );
  }
  const heldOut = value.holdoutStride === 0 ? 0 : Math.ceil(Math.max(0, train.samples - value.holdoutOffset) / value.holdoutStride);
  const trainSamples = train.samples - heldOut;
  const stepSamples = value.batchSize * value.updateFreq;
  const stepsPerEpoch = Math.floor(trainSamples / stepSamples);
  if (value.batchSize > trainSamples) {
    violations.add('spec.batch_size', value.batchSize, `at most ${trainSamples}, the number of training samples`);
    return undefined;
  }
  if (stepsPerEpoch === 0) {
    const most = Math.floor(trainSamples / value.batchSize);
    violations.add(
      'spec.update_freq',
      value.updateFreq,
      `at most ${most}, because batch_size * update_freq must not exceed the ${trainSamples} training samples`,
    );
    return undefined;
  }
  const totalSteps = value.epochs * stepsPerEpoch;
  const bySteps = value.warmupSteps > 0n;
  const warmupSteps = bySteps ? Number(value.warmupSteps) : value.warmupEpochs * stepsPerEpoch;
  if (bySteps) violations.check(warmupSteps <= totalSteps, 'spec.warmup_steps', warmupSteps, `at most ${totalSteps} (the whole training)`);
  return { trainSamples, stepsPerEpoch, totalSteps, warmupSteps };
}

/** Checks that the evaluation data set fits the training data set. */
export function checkEvaluationData(violations: Violations, spec: RunSpec, train: DatasetFacts, evaluation: DatasetFacts): void {
  const difference = classDifference(evaluation.classes, train.classes);
  const rule = 'a data set with the classes of train_manifest in the same order';
  violations.check(difference === undefined, 'spec.eval_manifest', spec.evalManifest, `${rule}; it ${difference}`);
}

/** The revision of a schedule that a run uses. */
export interface PinnedSchedule {
  readonly revision: bigint;
  readonly spec: DropScheduleSpec;
}

/** Fills in all defaults. The spec must have passed the checks above. */
export function resolveRunSpec(spec: RunSpec, models: ModelCatalog, train: DatasetFacts, pinned?: PinnedSchedule): ResolvedSpec {
  const value = withOptionDefaults(spec);
  return {
    ...value,
    inputSize: spec.inputSize ?? models.inputSize(spec.model),
    nbClasses: spec.nbClasses ?? train.classes.length,
    disableEval: spec.disableEval ?? spec.evalManifest === '',
    gradientLeaves: leavesOf(value),
    workers: workersOf(spec),
    ...resolvedCutoff(value, spec),
    optBetas: spec.optBetas.length === 0 ? [0.9, 0.999] : spec.optBetas,
    ...(pinned && { ...runDropOf(pinned.spec), scheduleRevision: pinned.revision }),
  };
}

/** True if the images of a batch are mixed. */
export function mixes(spec: Pick<RunSpec, 'mixup' | 'cutmix' | 'cutmixMinmax'>): boolean {
  return (spec.mixup ?? 0) > 0 || (spec.cutmix ?? 0) > 0 || spec.cutmixMinmax.length > 0;
}

/** Checks a resolved spec that was read from the store. @throws Error naming the first field that is absent or not valid */
export function asResolved(spec: RunSpec): ResolvedSpec {
  for (const [key, { name, holds, allowed }] of Object.entries(runOptions) as [OptionKey, (typeof runOptions)[OptionKey]][]) {
    const value = spec[key];
    if (value !== undefined && !holds(value)) throw new Error(`the stored run spec has ${name} ${value}, must be ${allowed}`);
    if (value === undefined && !mayBeAbsent.some((absent) => absent === key)) {
      throw new Error(`the stored run spec has no ${name}`);
    }
  }
  return spec as ResolvedSpec;
}

function withOptionDefaults(spec: RunSpec): ResolvedSpec {
  const defaults = Object.fromEntries(Object.entries(runOptions).map(([key, { fallback }]) => [key, fallback]));
  // UNSPECIFIED, which is 0, means the default, like an absent value.
  const absent = (key: string, value: unknown): boolean => value === undefined || (value === 0 && isRunSpecEnum(key));
  const given = Object.fromEntries(Object.entries(spec).filter(([key, value]) => !absent(key, value)));
  return { ...defaults, ...given } as ResolvedSpec;
}
