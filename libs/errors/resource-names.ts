/**
 * Resource names (aip.dev/122): `projects/{project}/<collection>/{id}…`. Every id has 1 to 63 characters of [a-z0-9-] and begins with a letter. A
 * revision is a number from 1. Malformed names become violations that show the pattern.
 */
import { InvalidArgument, Violations } from './errors.js';

/** Pattern of each kind. `{x}` stands for an id, `{revision}` for a number. */
export const namePatterns = {
  project: 'projects/{project}',
  dataset: 'projects/{project}/datasets/{dataset}',
  manifest: 'projects/{project}/manifests/{manifest}',
  schedule: 'projects/{project}/schedules/{schedule}',
  scheduleRevision: 'projects/{project}/schedules/{schedule}/revisions/{revision}',
  run: 'projects/{project}/runs/{run}',
  checkpoint: 'projects/{project}/runs/{run}/checkpoints/{checkpoint}',
  evaluation: 'projects/{project}/evaluations/{evaluation}',
} as const;

export type NameKind = keyof typeof namePatterns;

type IdsOf<P extends string> = P extends `${string}{${infer Id}}${infer Rest}` ? Id | IdsOf<Rest> : never;
type IdsRecord<K extends NameKind> = { readonly [I in IdsOf<(typeof namePatterns)[K]>]: string };

/** A parsed name: its kind, its ids (all have `project`) and the name itself. */
export type ResourceName<K extends NameKind = NameKind> = {
  readonly [P in K]: { readonly kind: P; readonly name: string } & IdsRecord<P>;
}[K];

export const idPattern = /^[a-z][a-z0-9-]{0,62}$/;
const idRule = '1 to 63 characters of a-z, 0-9 and "-", beginning with a letter';
/** The services choose the ids of checkpoints and manifests, which may begin with a digit. */
const serverIdPattern = /^[a-z0-9][a-z0-9-]{0,63}$/;
const revisionPattern = /^[1-9][0-9]{0,11}$/;

function idMatches(id: string, value: string): boolean {
  if (id === 'revision') return revisionPattern.test(value);
  if (id === 'checkpoint' || id === 'manifest') return serverIdPattern.test(value);
  return idPattern.test(value);
}

/** The parts of the name, or undefined if it does not match the kind's pattern. */
export function matchName<K extends NameKind>(kind: K, name: string): ResourceName<K> | undefined {
  const pattern = namePatterns[kind].split('/');
  const parts = name.split('/');
  if (parts.length !== pattern.length) return undefined;
  const ids: Record<string, string> = {};
  for (const [i, expected] of pattern.entries()) {
    const part = parts[i]!;
    if (!expected.startsWith('{')) {
      if (part !== expected) return undefined;
      continue;
    }
    const id = expected.slice(1, -1);
    if (!idMatches(id, part)) return undefined;
    ids[id] = part;
  }
  return { kind, name, ...ids } as ResourceName<K>;
}

/** Parses a name found in `field`; throws InvalidArgument that shows the pattern. Names in requests are parsed by their declaration instead. */
export function parseName<K extends NameKind>(kind: K, name: string, field = 'name'): ResourceName<K> {
  const parsed = matchName(kind, name);
  if (!parsed) throw new InvalidArgument(new Violations().add(field, name, nameRule(kind)).list);
  return parsed;
}

/** Same as parseName, but collects violations; undefined if the name is malformed. */
export function checkName<K extends NameKind>(violations: Violations, kind: K, name: string, field = 'name'): ResourceName<K> | undefined {
  const parsed = matchName(kind, name);
  violations.check(parsed !== undefined, field, name, nameRule(kind));
  return parsed;
}

/** Makes a name from ids. Throws InvalidArgument for an id that a name cannot contain. */
export function formatName<K extends NameKind>(kind: K, ids: IdsRecord<K>): string {
  const name = namePatterns[kind].replace(/\{(\w+)\}/g, (_, id: string) => (ids as Record<string, string>)[id] ?? '');
  parseName(kind, name, kind);
  return name;
}

/** Checks an id that the caller chose, such as `schedule_id`. */
export function checkId(violations: Violations, id: string, field: string): boolean {
  return violations.check(idPattern.test(id), field, id, idRule);
}

function nameRule(kind: NameKind): string {
  return `${namePatterns[kind]} with ids of ${idRule}`;
}
