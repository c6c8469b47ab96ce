/** Parses `--name value`, `--name=value`, `--name` and `--no-name`, with dashes or underscores. The caller's table says which options exist. */
import type { Violations } from '#errors/errors.js';
import { isSecretName } from '#errors/redact.js';

interface FlagShape {
  readonly flag?: boolean;
}

/** Values by option name, in order of appearance, `config` included. Unknown flags and missing values become violations. */
export function parseFlags(
  argv: readonly string[],
  options: Readonly<Record<string, FlagShape>>,
  violations: Violations,
): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>();
  const add = (name: string, value: string): void => {
    const list = values.get(name);
    if (list) list.push(value);
    else values.set(name, [value]);
  };
  // Names such as toString are no options, although every object has them.
  const isFlag = (name: string): boolean => Object.hasOwn(options, name) && options[name]!.flag === true;
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!;
    const match = /^--([A-Za-z][A-Za-z0-9_-]*)(?:=(.*))?$/s.exec(word);
    if (!match) {
      const [before = ''] = word.split('=');
      violations.add('arguments', isSecretName(before) ? `${before}=…` : word, 'options of the form --name value');
      continue;
    }
    const name = camelOf(match[1]!);
    const inline = match[2];
    const negated = name.startsWith('no') && lowerFirst(name.slice(2));
    if (isFlag(name)) add(name, inline ?? 'true');
    else if (Object.hasOwn(options, name) || name === 'config') {
      const value = inline ?? argv[++i];
      if (violations.check(value !== undefined, word, '', 'followed by a value')) add(name, value!);
    } else if (negated && isFlag(negated) && inline === undefined) add(negated, 'false');
    else {
      violations.add(`--${match[1]}`, inline ?? '', 'an option that --help lists');
      // Its value would be reported as an argument.
      if (inline === undefined && isSecretName(match[1]!) && !argv[i + 1]?.startsWith('--')) i++;
    }
  }
  return values;
}

const camelOf = (flag: string): string => flag.replace(/[-_]([a-zA-Z0-9])/g, (_, c: string) => c.toUpperCase());
const lowerFirst = (text: string): string => text.slice(0, 1).toLowerCase() + text.slice(1);
