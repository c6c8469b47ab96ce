/**
 * The words of a proto enum: EARLY of DropMode is `early` on the command line, in plans, and in libraries that do not use protos. A word is the
 * value's proto name in lower case without its prefix, so the words always agree with the enum.
 */
import type { Violations } from '#errors/errors.js';

/** A generated enum: names to numbers, and numbers to names. */
type EnumObject = Readonly<Record<string, string | number>>;

/** `standard`, `early` and `late` for DropMode. */
export type WordOf<T> = Lowercase<Exclude<keyof T & string, 'UNSPECIFIED' | 'UNRECOGNIZED'>>;
type ValueOf<T> = T[keyof T] & number;

export interface EnumWords<T> {
  /** All words, in order of their numbers. */
  readonly words: readonly WordOf<T>[];
  /** All proto names, such as DROP_MODE_EARLY, in the same order. */
  readonly names: readonly string[];
  /** The meaning of UNSPECIFIED and of an absent field. */
  readonly fallback: WordOf<T>;
  fromWord(word: WordOf<T>): ValueOf<T>;
  /** Undefined if the text is not a word of the enum. */
  parse(text: string): ValueOf<T> | undefined;
  /** What is allowed instead of a text that is not a word of the enum; completes the sentence "<field> is <text>, must be …". */
  rule(text: string): string;
  /** True for a number of the enum, including UNSPECIFIED. */
  has(value: number): boolean;
  /** The word of a value that was checked before. @throws RangeError for a number that is not in the enum */
  wordOf(value: number | undefined): WordOf<T>;
  /** The word of a request's value. A number that is not in the enum becomes a violation; then the returned word must not be used. */
  read(violations: Violations, field: string, value: number | undefined): WordOf<T>;
}

/**
 * @param prefix prefix of the values' proto names, without the last underscore: `DROP_MODE`
 * @param refused words that users may expect, with the reason why they are none
 */
export function enumWords<T extends EnumObject>(
  values: T,
  prefix: string,
  fallback: WordOf<T>,
  refused: ReadonlyMap<string, string> = new Map(),
): EnumWords<T> {
  const entries = Object.entries(values)
    .filter((entry): entry is [string, ValueOf<T>] => typeof entry[1] === 'number' && entry[1] > 0)
    .map(([name, value]) => ({ name: `${prefix}_${name}`, word: name.toLowerCase() as WordOf<T>, value }));
  const byWord = new Map<string, ValueOf<T>>(entries.map(({ word, value }) => [word, value]));
  const byValue = new Map<number | undefined, WordOf<T>>(entries.map(({ word, value }) => [value, word]));
  byValue.set(undefined, fallback).set(0, fallback);
  const names = entries.map(({ name }) => name);
  const words = entries.map(({ word }) => word);
  return {
    words,
    names,
    fallback,
    fromWord: (word) => byWord.get(word) as ValueOf<T>,
    parse: (text) => byWord.get(text),
    rule(text) {
      const reason = refused.get(text.toLowerCase());
      return `one of ${words.join(', ')}${reason === undefined ? '' : `, because ${reason}`}`;
    },
    has: (value) => byValue.has(value),
    wordOf(value) {
      const word = byValue.get(value);
      if (word === undefined) throw new RangeError(`${prefix} is ${value}, must be one of ${names.join(', ')}`);
      return word;
    },
    read(violations, field, value) {
      const word = byValue.get(value);
      violations.check(word !== undefined, field, value, `one of ${names.join(', ')}`);
      return word ?? fallback;
    },
  };
}
