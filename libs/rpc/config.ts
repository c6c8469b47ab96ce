/**
 * One schema for each service, for its flags, environment variables and configuration file, in this order of precedence. All errors are reported at
 * once, and each names the source of its value.
 *
 *     const config = defineConfig('scheduler', { ...serviceOptions({ port: 7012 }), store: { schema: z.string(), help: 'where objects are kept' } });
 *     const { port, store } = config.parse({ argv: process.argv.slice(2), env: process.env });
 */
import type { z } from 'zod';
import { parseOwnJson } from '#bounds/own-json.js';
import { readSmallFile } from '#bounds/small-file.js';
import { InvalidArgument, Violations } from '#errors/errors.js';
import { parseFlags } from './config-flags.js';

export interface Option<S extends z.ZodType = z.ZodType> {
  /** Receives text from flags and the environment, and JSON from the file, so it must coerce. An option with a default is optional. */
  readonly schema: S;
  /** One line of help, without the default (it is added). */
  readonly help: string;
  /** Environment variable; default `DROPSTREAM_<SERVICE>_<NAME>`, then `DROPSTREAM_<NAME>`. */
  readonly env?: string;
  /** True for an option without a value: `--name` means true, `--no-name` false. */
  readonly flag?: boolean;
  /** The option may be repeated; in the environment, values are separated by commas. The schema receives an array of text. */
  readonly list?: boolean;
}

export type OptionTable = Readonly<Record<string, Option>>;
export type ConfigOf<T extends OptionTable> = { readonly [K in keyof T]: z.output<T[K]['schema']> };

export interface ConfigSources {
  /** Arguments without those for node and the script. */
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface Config<T extends OptionTable> {
  /** Throws InvalidArgument with every violation. `--config` or DROPSTREAM_CONFIG names the JSON file. */
  parse(sources: ConfigSources): ConfigOf<T>;
  /** The text of `--help`, one line for each option. */
  help(): string;
}

const MAX_FILE_BYTES = 1 << 20;

export function defineConfig<const T extends OptionTable>(service: string, options: T): Config<T> {
  const envNames = (name: string): string[] => {
    const own = options[name]?.env;
    return own === undefined ? [`DROPSTREAM_${upperSnake(service)}_${upperSnake(name)}`, `DROPSTREAM_${upperSnake(name)}`] : [own];
  };

  const parse = ({ argv = [], env = {} }: ConfigSources): ConfigOf<T> => {
    const violations = new Violations();
    const flags = parseFlags(argv, options, violations);
    const file = readFile(flags.get('config')?.at(-1) ?? env.DROPSTREAM_CONFIG, service, options, violations);
    const result: Record<string, unknown> = {};
    for (const [name, option] of Object.entries(options)) {
      const { source, value } = pick(name, option, flags.get(name), envNames(name), env, file);
      const parsed = option.schema.safeParse(value);
      if (parsed.success) result[name] = parsed.data;
      else violations.add(source, shown(value), parsed.error.issues.map((issue) => describe(issue.message, option)).join(', '));
    }
    violations.throwIfAny();
    return result as ConfigOf<T>;
  };

  const help = (): string => {
    const rows = Object.entries(options).map(([name, option]) => {
      const flag = `--${kebab(name)}${option.flag ? '' : option.list ? ' VALUE …' : ' VALUE'}`;
      const fallback = option.schema.safeParse(undefined);
      const usual =
        fallback.success && fallback.data !== undefined
          ? ` (default ${shown(fallback.data) || '""'})`
          : fallback.success
            ? ''
            : ' (required)';
      return [flag, `${option.help}${usual} [${envNames(name)[0]}]`] as const;
    });
    rows.push(['--config FILE', 'JSON file with any of these options [DROPSTREAM_CONFIG]']);
    const width = Math.max(...rows.map(([flag]) => flag.length));
    return rows.map(([flag, text]) => `  ${flag.padEnd(width)}  ${text}`).join('\n');
  };

  return { parse, help };
}

function pick(
  name: string,
  option: Option,
  flag: readonly string[] | undefined,
  envNames: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  file: ReadonlyMap<string, unknown>,
): { source: string; value: unknown } {
  if (flag !== undefined) return { source: `--${kebab(name)}`, value: option.list ? flag.flatMap(split) : flag.at(-1) };
  for (const variable of envNames) {
    const value = env[variable];
    // An empty variable counts as absent, because compose files create such variables.
    if (value !== undefined && value !== '') return { source: variable, value: option.list ? split(value) : value };
  }
  if (file.has(name)) return { source: `${name} in the configuration file`, value: file.get(name) };
  return { source: `--${kebab(name)}`, value: undefined };
}

function readFile(path: string | undefined, service: string, options: OptionTable, violations: Violations): ReadonlyMap<string, unknown> {
  if (path === undefined || path === '') return new Map();
  let content: unknown;
  try {
    content = parseOwnJson(readSmallFile(path, MAX_FILE_BYTES).toString('utf8'));
  } catch (cause) {
    throw new InvalidArgument(
      [{ field: '--config', value: path, allowed: `a readable JSON file of at most 1 MiB (${(cause as Error).message})` }],
      {
        cause,
      },
    );
  }
  const all = content as Record<string, unknown>;
  const own = isObject(all) && isObject(all[service]) ? (all[service] as Record<string, unknown>) : all;
  if (!violations.check(isObject(own), '--config', path, 'a file that holds one JSON object')) return new Map();
  const values = new Map<string, unknown>();
  for (const [key, value] of Object.entries(own)) {
    const name = camel(key);
    if (violations.check(Object.hasOwn(options, name), `${key} in ${path}`, shown(value), `one of ${Object.keys(options).join(', ')}`))
      values.set(name, value);
  }
  return values;
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
const split = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
const kebab = (name: string): string => name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
const upperSnake = (name: string): string => kebab(name).replaceAll('-', '_').toUpperCase();
const camel = (key: string): string => key.replace(/[-_]([a-z0-9])/g, (_, c: string) => c.toUpperCase());
const shown = (value: unknown): string => (value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value));

function describe(message: string, option: Option): string {
  return `${option.help} (${message})`;
}
