/** The options of a run's spec as text, beside their defaults. */
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { enumWord } from './json-words.js';
import { isSpecOption, type SpecOption, trainOptions } from './train-options.js';

/** A RunSpec in protobuf's JSON. */
export type SpecJson = { readonly [Field in keyof RunSpec]?: unknown };

export interface ShownOption {
  readonly option: SpecOption;
  readonly value: string;
  readonly differs: boolean;
}

export const specOptions: readonly SpecOption[] = trainOptions.filter(isSpecOption);

/** The text of an option's value, as the command line takes it; '' if it is absent. */
export function optionText({ name, kind, field }: SpecOption, spec: SpecJson): string {
  const value = spec[field];
  if (value === undefined) return '';
  if (Array.isArray(value)) return value.join(' ');
  if (kind === 'range') {
    const { min = 1, max = min } = value as { min?: number; max?: number };
    return min === 1 ? String(max) : `${min}-${max}`;
  }
  if (kind !== 'text') return String(value);
  // Two quotes stand for an empty text that means something, as in a shell.
  return value === '' && name === 'aa' ? '""' : enumWord(String(value));
}

/** Texts that name the same default. */
function isDefault(option: SpecOption, text: string): boolean {
  if (text === '') return true;
  const [word = ''] = option.default.split(' (');
  if (word === text || (option.default === 'none' && (text === '' || text === '0'))) return true;
  return option.kind !== 'text' && Number(word) === Number(text);
}

/** Every option of the spec. Those whose default follows from the model or the data count as different only if `asked` says so. */
export function shownOptions(spec: SpecJson): ShownOption[] {
  return specOptions.map((option) => {
    const value = optionText(option, spec);
    return { option, value, differs: !derived.has(option.name) && !isDefault(option, value) };
  });
}

/** Options that are always filled in, so that they tell nothing about what the caller chose. */
const derived = new Set(['model', 'train_manifest', 'eval_manifest', 'input_size', 'nb_classes', 'gradient_leaves', 'weight_decay_end']);
