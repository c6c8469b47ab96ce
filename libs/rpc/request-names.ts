/**
 * Declares which fields of a request hold resource names. Every method declares this for every string of its request, in the shape of the request, so
 * a string that was forgotten does not compile. The server parses the names once, before the handler runs: the authorizer and the handler
 * (`ctx.names`) get them parsed.
 */
import { Violations } from '#errors/errors.js';
import { checkName, formatName, idPattern, type NameKind, namePatterns, type ResourceName } from '#errors/resource-names.js';
import type { RequestOf } from './handlers.js';

/**
 * `schedule`: a name of that kind. `schedule?`: such a name or ''. `project=default`: the name of a project, where '' means projects/default. `text`: a
 * string that is not a resource name.
 */
export type FieldNames = NameKind | `${NameKind}?` | 'project=default' | 'text';

type Oneof = { readonly $case: string; readonly value: unknown };
/** Types that contain no strings. */
type Opaque = Uint8Array | Date | ((...args: never[]) => unknown);

type HasText<T> = [T] extends [string | readonly string[]]
  ? true
  : [T] extends [number | bigint | boolean | Opaque]
    ? false
    : [T] extends [readonly (infer E)[]]
      ? HasText<E>
      : [T] extends [object]
        ? [keyof Declared<T>] extends [never]
          ? false
          : true
        : false;

/** The declaration of a message, a oneof or a field. Lists of messages that contain strings are not supported, because no request has one. */
type Declared<T> = [T] extends [string]
  ? FieldNames
  : [T] extends [readonly string[]]
    ? 'text'
    : [T] extends [Oneof]
      ? { readonly [C in T as HasText<C['value']> extends true ? C['$case'] : never]: Declared<C['value']> }
      : [T] extends [readonly unknown[]]
        ? never
        : string extends keyof T // a map
          ? 'text'
          : { readonly [F in keyof T as HasText<NonNullable<T[F]>> extends true ? F : never]-?: Declared<NonNullable<T[F]>> };

/** The declaration of a service: `{ … } as const satisfies RequestNames<typeof SchedulerServiceService>`. */
export type RequestNames<D> = { readonly [M in keyof D]: Declared<RequestOf<D[M]>> };

type KindIn<N> = N extends NameKind
  ? ResourceName<N>
  : N extends 'project=default'
    ? ResourceName<'project'>
    : N extends `${infer K extends NameKind}?`
      ? ResourceName<K> | undefined
      : never;

/** The parsed names of a request, in the shape of the request. An absent message or case is undefined. */
export type ParsedNames<T, N> = [T] extends [Oneof]
  ? { readonly [C in T as NamesAt<N, C['$case']>]?: ParsedField<C['value'], N[C['$case'] & keyof N]> }
  : {
      readonly [F in keyof T as NamesAt<N, F>]:
        | ParsedField<NonNullable<T[F]>, N[F & keyof N]>
        | (undefined extends T[F] ? undefined : never);
    };

type NamesAt<N, F> = F extends keyof N ? (N[F] extends 'text' ? never : F) : never;
type ParsedField<T, N> = [N] extends [string] ? KindIn<N> : ParsedNames<T, N>;

/** A name in a request, and the field that holds it as proto names joined by dots: `spec.schedule`. */
export type NamedField = ResourceName & { readonly field: string };

export type NamesDeclaration = { readonly [field: string]: FieldNames | NamesDeclaration };

export interface ReadNames {
  /** The names in the form that the handler gets. */
  readonly parsed: unknown;
  /** All names in the order of the declaration. */
  readonly named: readonly NamedField[];
  /** Violations for malformed names. */
  readonly violations: Violations;
}

export function readNames(declaration: NamesDeclaration, request: unknown): ReadNames {
  const named: NamedField[] = [];
  const violations = new Violations();
  const readField = (declared: FieldNames, value: unknown, field: string): ResourceName | undefined => {
    const [kind, rule] = partsOf(declared);
    const given = typeof value === 'string' ? value : '';
    if (rule === '?' && given === '') return undefined;
    const name = checkName(violations, kind, rule === '=default' && given === '' ? defaultProject : given, field);
    if (name) named.push({ ...name, field });
    return name;
  };
  const readMessage = (declared: NamesDeclaration, message: Record<string, unknown>, prefix: string): Record<string, unknown> => {
    const parsed: Record<string, unknown> = {};
    for (const [key, kind] of Object.entries(declared)) {
      if (kind === 'text') continue;
      const value = message[key];
      const field = `${prefix}${protoName(key)}`;
      if (typeof kind === 'string') parsed[key] = readField(kind, value, field);
      else if (isOneof(value)) parsed[key] = readCase(kind, value, prefix);
      else if (value !== undefined && value !== null) parsed[key] = readMessage(kind, value as Record<string, unknown>, `${field}.`);
    }
    return parsed;
  };
  // A oneof does not appear in the path of a field.
  const readCase = (declared: NamesDeclaration, { $case, value }: Oneof, prefix: string): Record<string, unknown> => {
    const kind = declared[$case];
    return kind === undefined ? {} : readMessage({ [$case]: kind }, { [$case]: value }, prefix);
  };
  const parsed = readMessage(declaration, request as Record<string, unknown>, '');
  return { parsed, named, violations };
}

/** Checks that all names have the project of the first one: resources of different projects never refer to each other. @throws InvalidArgument */
export function requireOneProject(named: readonly NamedField[]): void {
  const project = named[0]?.project;
  const violations = new Violations();
  for (const { kind, name, field, project: other } of named)
    violations.check(other === project, field, name, `${kind === 'evaluation' ? 'an' : 'a'} ${kind} of project ${project}`);
  violations.throwIfAny();
}

const defaultProject = formatName('project', { project: 'default' });

/** The kind of a field that holds a name, and what '' means there. */
function partsOf(declared: FieldNames): readonly [kind: NameKind, rule: string] {
  const [, kind = '', rule = ''] = /^(\w+)(.*)$/.exec(declared) ?? [];
  return [kind as NameKind, rule];
}

/**
 * The resource that a call is about: the first that its request names, or the one that it creates, if the caller chose the id.
 * @param method e.g. `dropstream.v1.TrainerService/CreateRun`
 */
export function resourceOf(method: string, [first]: readonly NamedField[], request: unknown): string | undefined {
  const created = method.split('/Create')[1];
  if (created === undefined || first === undefined) return first?.name;
  const kind = created.slice(0, 1).toLowerCase() + created.slice(1);
  const id = (request as Record<string, unknown>)[`${kind}Id`];
  if (!Object.hasOwn(namePatterns, kind) || typeof id !== 'string' || !idPattern.test(id)) return first.name;
  return namePatterns[kind as NameKind].replace('{project}', first.project).replace(`{${kind}}`, id);
}

function isOneof(value: unknown): value is Oneof {
  return typeof value === 'object' && value !== null && '$case' in value;
}

const protoName = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
