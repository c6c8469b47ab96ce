/**
 * The resource names of every method of every service, as declared: complete against the protos, and refused where they are another
 * project's. The compiler demands a line for each string of a request; this holds the lines to what the protos say of the fields.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { type DescriptorProto, FieldDescriptorProto_Type, type FileDescriptorProto, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { formatName, type NameKind, namePatterns } from '#errors/resource-names.js';
import { EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { projectKey } from '#rpc/authorize.js';
import { connect, PermissionDenied, type TypedClient } from '#rpc/client.js';
import type { NamesDeclaration } from '#rpc/request-names.js';
import type { RpcServer } from '#rpc/server.js';
import { everyService, serverOfEveryService } from './support/every-service.js';

const descriptors = fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../libs/protocol/descriptors.binpb', import.meta.url)));
const ours = descriptors.file.filter((file) => file.package === 'dropstream.v1' || file.package === 'externalscaler');
const messages = new Map<string, { file: FileDescriptorProto; index: number; message: DescriptorProto }>();
for (const file of ours)
  for (const [index, message] of file.messageType.entries()) messages.set(`.${file.package}.${message.name}`, { file, index, message });

interface StringField {
  /** Keys of the generated types, oneofs included. */
  readonly path: readonly string[];
  readonly comment: string;
}

const camel = (name: string): string => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** Every string below a message, with what its proto says of it. */
function stringsOf(type: string): StringField[] {
  const found = messages.get(type);
  if (!found) return [];
  const { file, index, message } = found;
  return message.field.flatMap((field, at): StringField[] => {
    const inOneof = field.oneofIndex !== undefined && field.oneofIndex >= 0 && isSet(field) && !field.proto3Optional;
    const path = [...(inOneof ? [camel(message.oneofDecl[field.oneofIndex]!.name)] : []), camel(field.name)];
    if (field.type === FieldDescriptorProto_Type.STRING) {
      const location = file.sourceCodeInfo?.location.find(({ path: p }) => p.join() === [4, index, 2, at].join());
      const comment = location?.leadingComments ?? '';
      const [, elsewhere] = /^ *As in (\w+)/.exec(comment) ?? [];
      const same =
        elsewhere === undefined ? undefined : stringsOf(`.dropstream.v1.${elsewhere}`).find((s) => s.path.join() === path.join());
      return [{ path, comment: same?.comment ?? comment }];
    }
    return stringsOf(field.typeName).map((inner) => ({ ...inner, path: [...path, ...inner.path] }));
  });
}

/** proto2 presence: an index of 0 is also the default. */
const isSet = (field: object): boolean => Object.hasOwn(field, 'oneofIndex');

const methods = everyService.flatMap(({ name, definition, names }) =>
  Object.entries(definition).map(([key, { path }]) => {
    const file = ours.find((candidate) => candidate.service.some((s) => s.name === name));
    const method = file?.service.find((s) => s.name === name)?.method.find((m) => path.endsWith(`/${m.name}`));
    assert.ok(method, path);
    return { name, key, names: names[key]!, strings: stringsOf(method.inputType) };
  }),
);

function declaredAt(names: NamesDeclaration, path: readonly string[]): string {
  let at: NamesDeclaration[string] | undefined = names;
  for (const key of path) at = typeof at === 'object' ? at[key] : undefined;
  assert.equal(typeof at, 'string', `${path.join('.')} is not declared`);
  return at as string;
}

for (const { name, key, names, strings } of methods) {
  test(`${name} ${key}: every string is declared as what the proto says it is`, () => {
    for (const { path, comment } of strings) {
      const [pattern] = /projects\/\{project\}[a-z/{}]*/.exec(comment) ?? [];
      const declared = declaredAt(names, path);
      const stated = (Object.keys(namePatterns) as NameKind[]).find((kind) => namePatterns[kind] === pattern);
      assert.equal(declared.replace(/\W.*$/, ''), stated ?? 'text', `${path.join('.')}: ${comment.trim()}`);
    }
  });
}

test('the walk finds the names that it should', () => {
  const named = methods.flatMap(({ name, key, names, strings }) =>
    strings.filter(({ path }) => declaredAt(names, path) !== 'text').map(({ path }) => `${name} ${key} ${path.join('.')}`),
  );
  for (const expected of [
    'TrainerService createRun spec.schedule',
    'SchedulerService getRates source.schedule',
    'DataService getBatch parent',
  ])
    assert.ok(named.includes(expected), `${expected} among ${named.join(', ')}`);
});

let server: RpcServer;
const clients = new Map<string, TypedClient<never>>();

before(async () => {
  // What is refused here is refused before any handler.
  server = serverOfEveryService(new Error('the handler was reached'));
  await server.start();
  for (const { name, definition } of everyService)
    clients.set(name, connect({ service: definition }, `127.0.0.1:${server.port}`) as unknown as TypedClient<never>);
});
after(async () => {
  for (const client of clients.values()) (client as unknown as { close(): void }).close();
  await server.close();
});

const ids = { dataset: 'd', manifest: 'm', schedule: 's', revision: '1', run: 'r', checkpoint: 'c', evaluation: 'e' };
const nameOf = (kind: NameKind, project: string): string => formatName(kind, { project, ...ids });

/** A request with every declared name in `project`, but the one at `foreign` in project `other`. */
function requestWith(method: string, names: NamesDeclaration, strings: readonly StringField[], foreign: StringField): object {
  const request: Record<string, unknown> = {};
  const spec = method === 'createRun' ? RunSpec.create() : EvaluationSpec.create();
  for (const field of strings) {
    const declared = declaredAt(names, field.path);
    if (declared === 'text') continue;
    const value = nameOf(declared.replace(/\W.*$/, '') as NameKind, field === foreign ? 'other' : 'mine');
    let at = request;
    for (const [i, key] of field.path.entries()) {
      if (i === field.path.length - 1) at[key] = value;
      // The only oneof among requests; its case is the name itself.
      else if (key === 'source') {
        at[key] = { $case: field.path[i + 1], value };
        break;
      } else {
        at[key] ??= key === 'spec' ? spec : {};
        at = at[key] as Record<string, unknown>;
      }
    }
  }
  return request;
}

for (const { name, key, names, strings } of methods) {
  for (const foreign of strings.filter(({ path }) => declaredAt(names, path) !== 'text')) {
    test(`${name} ${key}: a caller of another project is refused by ${foreign.path.join('.')}`, async () => {
      const call = (clients.get(name) as unknown as Record<string, (request: object, options: object) => unknown>)[key]!;
      const answer = call(requestWith(key, names, strings, foreign), { timeoutMs: 10_000, metadata: { [projectKey]: 'mine' } });
      const ended = async (): Promise<void> => {
        if (answer instanceof Promise) await answer;
        else for await (const _ of answer as AsyncIterable<unknown>);
      };
      await assert.rejects(ended, (error) => error instanceof PermissionDenied && error.what === 'project other');
    });
  }
}
