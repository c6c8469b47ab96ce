/** From the texts of the form to a RunSpec in JSON. Types are checked here; the trainer checks everything else. */
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { specOptions } from '#spec/shown-options.js';
import type { OptionKind, SpecOption } from '#spec/train-options.js';

/** Texts by the names of options. An option that is absent has its default. */
export type Values = Readonly<Record<string, string>>;

/** Enums of the spec: the prefix of their names in JSON, and their words. */
export const choices: Partial<Record<keyof RunSpec, readonly [prefix: string, ...words: string[]]>> = {
  dropMode: ['DROP_MODE', 'standard', 'early', 'late'],
  dropSchedule: ['DROP_SCHEDULE', 'constant', 'linear'],
  cutoff: ['DROP_CUTOFF', 'fixed', 'adaptive'],
  opt: ['OPTIMIZER', 'adamw', 'sgd', 'momentum'],
  engine: ['ENGINE', 'native', 'tfjs', 'tensorflow', 'webgpu', 'auto'],
  precision: ['PRECISION', 'fp32', 'bf16', 'f16'],
  trainInterpolation: ['TRAIN_INTERPOLATION', 'bicubic', 'bilinear', 'random'],
  remode: ['ERASE_MODE', 'pixel', 'rand', 'const'],
  mixupMode: ['MIXUP_MODE', 'batch', 'pair', 'elem'],
};

export const wordsOf = (option: SpecOption): readonly string[] => choices[option.field]?.slice(1) ?? [];

/** 64-bit numbers, which JSON has as texts. */
const wide: ReadonlySet<string> = new Set(['seed', 'scheduleRevision', 'warmupSteps']);

export type SpecJson = Readonly<Record<string, unknown>>;

export function specOf(values: Values): { readonly spec: SpecJson; readonly problems: ReadonlyMap<string, string> } {
  const spec: Record<string, unknown> = {};
  const problems = new Map<string, string>();
  for (const option of specOptions) {
    const text = values[option.name]?.trim() ?? '';
    if (text === '') continue;
    const value = parsed(option, text);
    if (value === undefined) problems.set(option.name, `must be ${rules[option.kind]}`);
    else spec[option.field] = value;
  }
  return { spec, problems };
}

const rules: Record<OptionKind, string> = {
  text: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  numbers: 'numbers with spaces between them',
  range: 'a whole number from 1, or two as MIN-MAX',
};

function parsed({ kind, field }: SpecOption, text: string): unknown {
  switch (kind) {
    case 'text': {
      const prefix = choices[field]?.[0];
      // Two quotes are the way to say "nothing", as in a shell.
      return prefix === undefined ? (text === '""' ? '' : text) : `${prefix}_${text.toUpperCase()}`;
    }
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'integer':
      if (!/^[+-]?\d{1,18}$/.test(text)) return undefined;
      return wide.has(field) ? text : Number(text);
    case 'number':
      return number(text);
    case 'range': {
      const [, low, high] = /^([1-9]\d{0,8})(?:-([1-9]\d{0,8}))?$/.exec(text) ?? [];
      if (low === undefined) return undefined;
      return high === undefined ? { min: 1, max: Number(low) } : { min: Number(low), max: Number(high) };
    }
    case 'numbers': {
      const numbers = text.split(/[\s,]+/).map(number);
      return numbers.includes(undefined) ? undefined : numbers;
    }
  }
}

const number = (text: string): number | undefined => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined);
