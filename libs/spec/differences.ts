/** What tells runs apart: the options in which they differ, and which runs differ in their seed only. */
import { optionText, type SpecJson, specOptions } from './shown-options.js';

export interface Difference {
  readonly name: string;
  readonly help: string;
  /** One for each run, in their order. */
  readonly values: readonly string[];
}

export function differences(specs: readonly SpecJson[]): Difference[] {
  return specOptions
    .map((option) => ({ name: option.name, help: option.help, values: specs.map((spec) => optionText(option, spec)) }))
    .filter(({ values }) => new Set(values).size > 1);
}

/** Runs of equal options but for the seed: lists of their positions. */
export function seedGroups(specs: readonly SpecJson[]): number[][] {
  const groups = new Map<string, number[]>();
  for (const [k, spec] of specs.entries()) {
    const key = JSON.stringify(specOptions.filter(({ name }) => name !== 'seed').map((option) => optionText(option, spec)));
    groups.set(key, [...(groups.get(key) ?? []), k]);
  }
  return [...groups.values()];
}
