/** What a group of fixtures gives the runner. */
import type { Check } from '../support/checks.js';
import type { FixtureFolder } from '../support/fixture-folder.js';
import type { Engine } from '../support/golden-model.js';
import type { ImageSet } from '../support/image-set.js';

export interface ParityContext {
  folder: FixtureFolder;
  images: ImageSet;
  engine: Engine;
  /** Why no case can run on the engine: not installed here, or not in this precision. */
  engineMissing: string | undefined;
}

export type ParityCase = { name: string; skip: string } | { name: string; run: () => Check[] | Promise<Check[]> };

/** A kind of fixture file, and the cases in one such file. */
export interface ParitySource {
  /** What --only selects. */
  group: string;
  /** Path in the folder. */
  file: RegExp;
  /** For a file that belongs to another: that other one, which must be there. */
  companionOf?: (file: string) => string | undefined;
  /** Throws where the file is not what it should be: one failed case. */
  cases: (file: string, context: ParityContext) => ParityCase[];
}

/** A case that needs the engine, which float32 tolerances are written for. */
export function onEngine({ engineMissing }: ParityContext, name: string, run: () => Promise<Check[]>): ParityCase {
  return engineMissing === undefined ? { name, run } : { name, skip: engineMissing };
}

/** As onEngine; bfloat16 has no tolerance there. */
export function onFloat32(context: ParityContext, name: string, run: () => Promise<Check[]>): ParityCase {
  if (context.engine.precision === 'fp32') return onEngine(context, name, run);
  return { name, skip: 'README §10 has no bfloat16 tolerance for it: these stay in float32' };
}

/** A list that a fixture must have; an empty one compares nothing. */
export function listed<T>(file: string, what: string, list: readonly T[] | undefined): readonly T[] {
  if (list === undefined || list.length === 0) throw new Error(`${file}: no ${what}`);
  return list;
}

/** The options that say which case it is, for its name. */
export const short = (options: object): string =>
  Object.entries(options)
    .map(([name, value]) => `${name}=${Array.isArray(value) ? value.join('..') : value}`)
    .join(' ');
