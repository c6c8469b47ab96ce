/** Which runs a list shows, and in which order: the fields `filter` and `order_by` of ListRuns. */
import { invalid } from '#errors/errors.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { labelKeyPattern } from '../run/labels.js';
import { type Comparison, type Filter, filterError, parseFilter } from './filter-syntax.js';

/** What a filter compares, and an order sorts by. */
export interface RunFacts {
  readonly id: string;
  readonly state: RunState;
  readonly model: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Milliseconds since 1970; 0 if unknown. */
  readonly createMs: number;
  readonly priority: number;
}

export type RunFilter = (run: RunFacts) => boolean;

const states = Object.entries(RunState).flatMap(([name, value]) =>
  typeof value === 'number' && value > 0 && name !== 'UNRECOGNIZED' ? [[name, value] as const] : [],
);
// The names of the enum's values in the proto are allowed too.
const stateByName = new Map<string, RunState>(
  states.flatMap(([name, value]) => [
    [name, value],
    [`RUN_STATE_${name}`, value],
  ]),
);

/**
 * Compiles a filter; undefined if it is empty and every run matches. A label that a run does not have counts as empty text.
 * @throws InvalidArgument that names the position and what is allowed there
 */
export function runFilter(text: string): RunFilter | undefined {
  const filter = parseFilter(text);
  return filter && compile(text, filter);
}

function compile(text: string, filter: Filter): RunFilter {
  if (filter.kind === 'comparison') return comparison(text, filter);
  const parts = filter.parts.map((part) => compile(text, part));
  return filter.kind === 'and' ? (run) => parts.every((part) => part(run)) : (run) => parts.some((part) => part(run));
}

function comparison(text: string, { field, negated, value, fieldAt, valueAt }: Comparison): RunFilter {
  if (field === 'state') {
    const state = stateByName.get(value);
    if (state === undefined)
      throw filterError(text, valueAt, JSON.stringify(value), `one of ${states.map(([name]) => name).join(', ')} as the state`);
    return (run) => (run.state === state) !== negated;
  }
  if (field === 'priority') {
    if (!/^-?\d{1,4}$/.test(value)) throw filterError(text, valueAt, JSON.stringify(value), 'a whole number as the priority');
    return (run) => (run.priority === Number(value)) !== negated;
  }
  if (field === 'model') return (run) => (run.model === value) !== negated;
  const key = field.startsWith('labels.') ? field.slice('labels.'.length) : undefined;
  if (key === undefined || !labelKeyPattern.test(key))
    throw filterError(
      text,
      fieldAt,
      JSON.stringify(field),
      'state, model, priority or labels.KEY, whose KEY matches [a-z][a-z0-9_-]{0,62},',
    );
  return (run) => ((Object.hasOwn(run.labels, key) ? run.labels[key] : '') === value) !== negated;
}

export interface RunOrder {
  /** `by` a name is an order of ids. */
  readonly by: 'name' | 'create_time' | 'priority';
  readonly descending: boolean;
}

/** @throws InvalidArgument */
export function runOrder(text: string): RunOrder {
  const [, by, desc] = /^\s*(name|create_time|priority)(\s+desc)?\s*$/.exec(text === '' ? 'name' : text) ?? [];
  if (by === undefined) throw invalid('order_by', text, 'empty, "name", "create_time" or "priority", which " desc" may follow');
  return { by: by as RunOrder['by'], descending: desc !== undefined };
}

/**
 * The place of a run in an order, which never changes while the run exists; `compareKeys` compares two of them. Runs of one priority are in the order
 * of their creation, and those that were created in the same millisecond in that of their ids.
 */
export function orderKey({ by }: RunOrder, { id, createMs, priority }: Pick<RunFacts, 'id' | 'createMs' | 'priority'>): string {
  if (by === 'name') return id;
  const place = `${String(Math.max(0, createMs)).padStart(15, '0')} ${id}`;
  return by === 'priority' ? `${String(priority + 10_000).padStart(5, '0')} ${place}` : place;
}

/** Negative if `a` stands before `b`. */
export function compareKeys({ descending }: RunOrder, a: string, b: string): number {
  const ascending = a < b ? -1 : a > b ? 1 : 0;
  return descending ? -ascending : ascending;
}
