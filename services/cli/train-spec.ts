/** Turns the options of `dropstream train` into a RunSpec. All types are checked here; the trainer checks the ranges. */

import { Violations } from '#errors/errors.js';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { isExplainedOption, isSpecOption, type OptionKind, trainOptions } from '#spec/train-options.js';
import { isRunSpecEnum, runSpecEnums } from '#spec/words.js';
import { batchWarning, type Processes, processCount } from './total-batch.js';

/** The given options by name: the text of the value, several texts for lists, `true` for a flag without a value. */
export type GivenOptions = Readonly<Record<string, string | readonly string[] | true | undefined>>;

export interface TrainRequest {
  readonly spec: RunSpec;
  /** data_path, eval_data_path and data_set, if given. */
  readonly data: Readonly<Record<string, string>>;
  /** Number of processes of the reference; already multiplied into spec.updateFreq. */
  readonly world: number;
  /** Evaluate `resume` instead of training. */
  readonly evalOnly: boolean;
  /** Checkpoint or file to evaluate, or ''. */
  readonly resume: string;
  readonly autoResume: boolean;
  /** Folders for log.txt and for TensorBoard, or ''. */
  readonly outputDir: string;
  readonly logDir: string;
  /** One sentence for each ignored option and each warning. */
  readonly notes: readonly string[];
}

/** 64-bit fields of RunSpec. */
const bigintFields: ReadonlySet<string> = new Set(['seed', 'scheduleRevision', 'warmupSteps']);

/** @throws InvalidArgument naming every option whose value has the wrong type, and every option that must be left out */
export function trainRequest(given: GivenOptions): TrainRequest {
  const violations = new Violations();
  const values: Record<string, unknown> = {};
  const own: Record<string, unknown> = {};
  const notes: string[] = [];
  for (const option of trainOptions) {
    const raw = given[option.name];
    if (raw === undefined) continue;
    const text = raw === true ? 'true' : typeof raw === 'string' ? raw : raw.join(' ');
    if (isExplainedOption(option)) {
      if (option.harmless?.includes(text.toLowerCase())) continue;
      if (option.outcome === 'refuse') violations.add(option.name, text, `left out: ${option.instead}`);
      else notes.push(`--${option.name} is ignored: ${option.instead}.`);
    } else {
      const field = isSpecOption(option) ? option.field : '';
      const words = isRunSpecEnum(field) ? runSpecEnums[field] : undefined;
      const value = words ? words.parse(text) : parse(option.kind, text, bigintFields.has(field));
      if (value === undefined) violations.add(option.name, text, words ? words.rule(text) : rules[option.kind]);
      else if (isSpecOption(option)) values[option.field] = value;
      else own[option.name] = value;
    }
  }
  const text = (name: string): string => (own[name] as string | undefined) ?? '';
  const data = Object.fromEntries(['data_path', 'eval_data_path', 'data_set'].flatMap((name) => (text(name) ? [[name, text(name)]] : [])));
  const evalOnly = own.eval === true;
  const device = text('device');
  if (device !== '' && !engineOfDevice(device)) violations.add('device', device, 'cuda, cuda:N or cpu');
  if (device !== '' && values.engine !== undefined) notes.push('--device is ignored: --engine is given.');
  const world = processCount(violations, own as Processes);
  if (!values.model) violations.add('model', '', 'the name of a model: `dropstream train --list_models` prints all names');
  if (values.trainManifest && data.data_path) violations.add('data_path', data.data_path, 'left out if train_manifest is given');
  if (!evalOnly && !values.trainManifest && !data.data_path) violations.add('data_path', '', 'given, unless train_manifest is given');
  if (evalOnly && !text('resume')) violations.add('resume', '', 'RUN/best, RUN/CHECKPOINT or a file, because --eval is given');
  if (!evalOnly && text('resume'))
    violations.add(
      'resume',
      text('resume'),
      'left out: runs resume automatically, and paused runs with `dropstream runs resume RUN`; use --eval to evaluate a checkpoint or --finetune to start from its weights',
    );
  violations.throwIfAny();
  const spec = RunSpec.fromPartial({ engine: engineOfDevice(device), ...values } as Partial<RunSpec>);
  const { batchSize = 64, updateFreq = 1, lr = 4e-3 } = spec;
  const warning = evalOnly ? undefined : batchWarning({ batchSize, updateFreq, world, lr });
  if (warning) notes.push(warning);
  if (world > 1) spec.updateFreq = updateFreq * world;
  return {
    spec,
    data,
    world,
    evalOnly,
    resume: text('resume'),
    autoResume: own.auto_resume !== false,
    outputDir: text('output_dir'),
    logDir: text('log_dir'),
    notes,
  };
}

/** The engine of a device that the reference names. Which of several GPUs computes is decided where the worker runs (DROPSTREAM_GPU). */
function engineOfDevice(device: string): Engine | undefined {
  if (/^cuda(:\d+)?$/.test(device)) return Engine.AUTO;
  return device === 'cpu' ? Engine.NATIVE : undefined;
}

const rules: Record<OptionKind, string> = {
  text: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  numbers: 'numbers separated by spaces or commas',
  range: 'a whole number from 1, or two as MIN-MAX',
};

function parse(kind: OptionKind, text: string, wide: boolean): unknown {
  switch (kind) {
    case 'text':
      return text;
    case 'boolean':
      return parseBoolean(text);
    case 'integer':
      if (!/^[+-]?\d{1,18}$/.test(text)) return undefined;
      return wide ? BigInt(text) : Number(text);
    case 'number':
      return parseNumber(text);
    case 'range': {
      const [, low, high] = /^(\d{1,9})(?:-(\d{1,9}))?$/.exec(text) ?? [];
      if (low === undefined || Number(low) < 1) return undefined;
      return high === undefined ? { min: 1, max: Number(low) } : { min: Number(low), max: Number(high) };
    }
    case 'numbers': {
      const parts = text.split(/[\s,]+/).filter((part) => part !== '');
      const numbers = parts.map(parseNumber);
      return parts.length === 0 || numbers.includes(undefined) ? undefined : numbers;
    }
  }
}

function parseNumber(text: string): number | undefined {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : undefined;
}

/** Parses the words that the reference accepts as true and false. */
export function parseBoolean(text: string): boolean | undefined {
  const word = text.trim().toLowerCase();
  if (['yes', 'true', 't', 'y', '1', 'on'].includes(word)) return true;
  if (['no', 'false', 'f', 'n', '0', 'off'].includes(word)) return false;
  return undefined;
}
