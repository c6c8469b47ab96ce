/** The run of the form as a command and as calls of the clients, so that what was tried here can be put into a script. */

import { specOptions } from '#spec/shown-options.js';
import type { SpecOption } from '#spec/train-options.js';
import { choices, specOf, type Values } from './spec-of.js';

export interface CallNames {
  readonly runId?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Without `projects/`. */
  readonly project?: string;
}

const given = (values: Values): [SpecOption, string][] =>
  specOptions.flatMap((option): [SpecOption, string][] => {
    const text = values[option.name]?.trim() ?? '';
    return text === '' ? [] : [[option, text]];
  });

export function commandLine(values: Values, { runId = '', labels = {}, project = 'default' }: CallNames = {}): string {
  const parts = given(values).map(
    ([{ name, kind }, text]) => `--${name} ${kind === 'numbers' ? words(text) : text === '""' ? text : quoted(text)}`,
  );
  if (runId !== '') parts.push(`--run_id ${quoted(runId)}`);
  if (project !== 'default') parts.push(`--project ${quoted(project)}`);
  for (const [key, value] of Object.entries(labels)) parts.push(`--label ${quoted(`${key}=${value}`)}`);
  return ['dropstream train', ...parts].join(' \\\n    ');
}

export function typescriptCall(values: Values, names: CallNames = {}): string {
  const { spec } = specOf(values);
  const enums = new Set<string>();
  const lines = given(values).map(([{ field, name }]) => `    ${field}: ${typescriptValue(field, spec[field], enums)}, // --${name}`);
  const imports = [...enums].sort().map((name) => `import { ${name} } from 'dropstream/protocol/${fileOf(name)}';\n`);
  const options = optionsOf(names, literal, 'runId: ', 'labels: ');
  return `import { Client } from 'dropstream/client';
${imports.join('')}
const client = new Client(${names.project && names.project !== 'default' ? `{ project: ${literal(names.project)} }` : ''});
const run = await client.submit(
  {
${lines.join('\n')}
  },${options === '' ? '' : `\n  { ${options} },`}
);
await client.close();`;
}

export function pythonCall(values: Values, names: CallNames = {}): string {
  const { spec } = specOf(values);
  const lines = given(values).map(([{ field, name }]) => `        "${name}": ${pythonValue(spec[field])},`);
  const options = optionsOf(names, (text) => JSON.stringify(text), 'run_id=', 'labels=');
  return `from dropstream import Client

with Client(${names.project && names.project !== 'default' ? `project=${JSON.stringify(names.project)}` : ''}) as client:
    run = client.submit({
${lines.join('\n')}
    }${options === '' ? '' : `, ${options}`})`;
}

function optionsOf({ runId = '', labels = {} }: CallNames, text: (value: string) => string, idIs: string, labelsAre: string): string {
  const entries = Object.entries(labels).map(([key, value]) => `${text(key)}: ${text(value)}`);
  return [
    ...(runId === '' ? [] : [`${idIs}${text(runId)}`]),
    ...(entries.length === 0 ? [] : [`${labelsAre}{ ${entries.join(', ')} }`]),
  ].join(', ');
}

const enumNames: Readonly<Record<string, string>> = {
  dropMode: 'DropMode',
  dropSchedule: 'DropSchedule',
  opt: 'Optimizer',
  engine: 'Engine',
  precision: 'Precision',
  trainInterpolation: 'TrainInterpolation',
  remode: 'EraseMode',
  mixupMode: 'MixupMode',
};
const wide = new Set(['seed', 'scheduleRevision', 'warmupSteps']);

function typescriptValue(field: string, value: unknown, enums: Set<string>): string {
  const type = enumNames[field];
  if (type !== undefined) {
    enums.add(type);
    const prefix = choices[field as keyof typeof choices]?.[0] ?? '';
    return `${type}.${String(value).slice(prefix.length + 1)}`;
  }
  if (wide.has(field)) return `${String(value)}n`;
  return typeof value === 'string' ? literal(value) : JSON.stringify(value);
}

/** The file that has an enum. */
const fileOf = (name: string): string =>
  /^Drop/.test(name) ? 'schedule_types' : name === 'Optimizer' ? 'run_spec' : /^(Engine|Precision)$/.test(name) ? 'engine_types' : 'data';

function pythonValue(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  // A text of digits is a 64-bit number in JSON, and a number in Python.
  if (typeof value === 'string' && /^[+-]?\d+$/.test(value)) return value;
  return JSON.stringify(value);
}

/** A text of TypeScript. Links can fill in fields of the form, so nothing that is copied from here may end its quotes. */
const literal = (text: string): string => `'${JSON.stringify(text).slice(1, -1).replaceAll("'", "\\'")}'`;

const words = (text: string): string => text.split(/\s+/).map(quoted).join(' ');
const quoted = (text: string): string => (/^[A-Za-z0-9_./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
