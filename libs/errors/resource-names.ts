/**
 * Resource names (aip.dev/122): `projects/{project}/<collection>/{id}…`. Every id is 1 to 63 of [a-z0-9-], a letter first; a revision is
 * a number from 1. Malformed names are refused as violations that show the pattern.
 */
import { InvalidArgument, Violations } from './errors.js';

/** Pattern by kind. `{x}` stands for one id, `{revision}` for a number. */
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

/** A parsed name: its kind, its ids (`project` in every one) and the name itself. */
export type ResourceName<K extends NameKind = NameKind> = {
  readonly [P in K]: { readonly kind: P; readonly name: string } & IdsRecord<P>;
}[K];

export const idPattern = /^[a-z][a-z0-9-]{0,62}$/;
const idRule = '1 to 63 of a-z, 0-9 and "-", a letter first';
/** Checkpoints and manifests are named by the services: digits and hashes may come first there. */
const serverIdPattern = /^[a-z0-9][a-z0-9-]{0,63}$/;
const revisionPattern = /^[1-9][0-9]{0,11}$/;

function idMatches(id: string, value: string): boolean {
  if (id === 'revision') return revisionPattern.test(value);
  if (id === 'checkpoint' || id === 'manifest') return serverIdPattern.test(value);
  return idPattern.test(value);
}

/** The name in parts, or undefined where it does not have the kind's pattern. */
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

/** Parses a name found in `field`; throws InvalidArgument that shows the pattern. Names in requests are parsed by their declaration. */
export function parseName<K extends NameKind>(kind: K, name: string, field = 'name'): ResourceName<K> {
  const parsed = matchName(kind, name);
  if (!parsed) throw new InvalidArgument(new Violations().add(field, name, nameRule(kind)).list);
  return parsed;
}

/** As parseName, but collects: undefined where the name is malformed. */
export function checkName<K extends NameKind>(violations: Violations, kind: K, name: string, field = 'name'): ResourceName<K> | undefined {
  const parsed = matchName(kind, name);
  violations.check(parsed !== undefined, field, name, nameRule(kind));
  return parsed;
}

/** The name of these ids. Throws InvalidArgument for an id that no name may hold. */
export function formatName<K extends NameKind>(kind: K, ids: IdsRecord<K>): string {
  const name = namePatterns[kind].replace(/\{(\w+)\}/g, (_, id: string) => (ids as Record<string, string>)[id] ?? '');
  parseName(kind, name, kind);
  return name;
}

/** Checks an id given by the caller, e.g. `schedule_id`. */
export function checkId(violations: Violations, id: string, field: string): boolean {
  return violations.check(idPattern.test(id), field, id, idRule);
}

function nameRule(kind: NameKind): string {
  return `${namePatterns[kind]} with ids of ${idRule}`;
}
