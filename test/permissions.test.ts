/**
 * The policy against the protos, and every RPC × role × state of the credential called for real: all services, health and reflection on one server with
 * identities. The handlers only say that they were reached.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, Server, type ServiceError, status } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { Identities } from '#auth/identities.js';
import { policy, type Role, type Rule, roles } from '#auth/policy.js';
import { createToken } from '#auth/tokens.js';
import { FailedPrecondition } from '#errors/errors.js';
import { formatName, type NameKind } from '#errors/resource-names.js';
import { EvaluationSpec } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { metadataOf } from '#rpc/connection.js';
import type { AnyMethod } from '#rpc/handlers.js';
import { reflectionOf } from '#rpc/reflection.js';
import type { NamesDeclaration } from '#rpc/request-names.js';
import type { RpcServer } from '#rpc/server.js';
import { everyService, serverOfEveryService } from './support/every-service.js';

test('the policy has every method of the protos and of the libraries, and no other', () => {
  const descriptors = fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../libs/protocol/descriptors.binpb', import.meta.url)));
  const declared = descriptors.file.flatMap((file) =>
    file.service.flatMap(({ name, method }) => method.map((one) => `${file.package}.${name}/${one.name}`)),
  );
  const libraries = new Server();
  new HealthImplementation({}).addToServer(libraries);
  reflectionOf([]).addToServer(libraries);
  const added = [...(libraries as unknown as { handlers: ReadonlyMap<string, unknown> }).handlers.keys()].map((path) => path.slice(1));
  assert.ok(added.length >= 4, added.join());
  assert.deepEqual([...policy.keys()].sort(), [...new Set([...declared, ...added])].sort());
});

test('an operator may do what a submitter may, and a submitter what a viewer may', () => {
  for (const [method, rule] of policy) {
    if (typeof rule === 'string') continue;
    assert.ok(rule.includes('operator'), method);
    assert.ok(!rule.includes('viewer') || rule.includes('submitter'), method);
    if (/\/(Delete)/.test(method)) assert.deepEqual(rule, ['operator'], method);
    if (/\/(Create|Update|Pause|Resume|Cancel)/.test(method)) assert.ok(!rule.includes('viewer'), method);
  }
});

const folder = mkdtempSync(join(tmpdir(), 'dropstream-permissions-'));
const far = '2999-01-01T00:00:00Z';
const created = '2026-01-01T00:00:00Z';

/** What a call shows, and in which projects its principal has the role. `known`: whether the credential counts. */
interface State {
  readonly name: string;
  readonly authorization: (role: Role) => string | undefined;
  readonly known: boolean;
  /** Whether the role counts in the project of the request. */
  readonly here: boolean;
}

const tokens = new Map<string, string>();
function principalsOf(kind: string, project: string, expires: string) {
  return roles.map((role) => {
    const { id, sha256, text } = createToken();
    tokens.set(`${kind} ${role}`, text);
    return [`${kind}-${role}`, { roles: { [project]: role }, uris: [], tokens: [{ id, sha256, created, expires }] }] as const;
  });
}
const principals = Object.fromEntries([
  ...principalsOf('here', 'mine', far),
  ...principalsOf('everywhere', '*', far),
  ...principalsOf('elsewhere', 'other', far),
  ...principalsOf('expired', 'mine', created),
  ...principalsOf('revoked', 'mine', far),
]);
const shown = (kind: string) => (role: Role) => `Bearer ${tokens.get(`${kind} ${role}`)}`;

const states: readonly State[] = [
  { name: 'none', authorization: () => undefined, known: false, here: false },
  { name: 'malformed', authorization: () => 'Bearer nonsense', known: false, here: false },
  { name: 'another scheme', authorization: (role) => shown('here')(role).replace('Bearer', 'Basic'), known: false, here: false },
  { name: 'wrong secret', authorization: (role) => `${shown('here')(role).slice(0, -43)}${'A'.repeat(43)}`, known: false, here: false },
  { name: 'expired', authorization: shown('expired'), known: false, here: false },
  { name: 'revoked', authorization: shown('revoked'), known: false, here: false },
  { name: 'in another project', authorization: shown('elsewhere'), known: true, here: false },
  { name: 'in the project', authorization: shown('here'), known: true, here: true },
  { name: 'in all projects', authorization: shown('everywhere'), known: true, here: true },
];

let server: RpcServer;
let identities: Identities;
let client: Client;

before(async () => {
  const path = join(folder, 'identities.json');
  writeFileSync(path, JSON.stringify({ version: 1, principals }));
  identities = new Identities({ path, lookMs: 10 });
  for (const role of roles) identities.identify({ authorization: [shown('revoked')(role)], certificate: () => undefined });
  const kept = Object.entries(principals).filter(([name]) => !name.startsWith('revoked-'));
  writeFileSync(path, JSON.stringify({ version: 1, principals: Object.fromEntries(kept) }));
  const revoked = (): boolean => {
    try {
      return identities.identify({ authorization: [shown('revoked')('viewer')], certificate: () => undefined }) === undefined;
    } catch {
      return true;
    }
  };
  while (!revoked()) await new Promise((resolve) => setTimeout(resolve, 10));
  server = serverOfEveryService(new FailedPrecondition('call', 'test', 'the handler was reached'), identities.identify);
  await server.start();
  client = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
});
after(async () => {
  client.close();
  await server.close();
  identities.close();
  rmSync(folder, { recursive: true });
});

const ids = { dataset: 'd', manifest: 'm', schedule: 's', revision: '1', run: 'r', checkpoint: 'c', evaluation: 'e' };

/** A request that names the project wherever it can. */
function requestFor(key: string, names: NamesDeclaration): object {
  const message = (declared: NamesDeclaration): Record<string, unknown> => {
    const made: Record<string, unknown> = {};
    for (const [field, kind] of Object.entries(declared)) {
      if (kind === 'text') continue;
      if (typeof kind === 'string') made[field] = formatName(kind.replace(/\W.*$/, '') as NameKind, { project: 'mine', ...ids });
      else if (field === 'source') made[field] = { $case: 'schedule', value: message(kind).schedule };
      else if (field === 'spec') made[field] = { ...(key === 'createRun' ? RunSpec.create() : EvaluationSpec.create()), ...message(kind) };
    }
    return made;
  };
  return message(names);
}

const all: { path: string; method: Pick<AnyMethod, 'responseStream' | 'requestStream'>; bytes: Buffer; namesProject: boolean }[] = [
  ...everyService.flatMap(({ definition, names }) =>
    Object.entries(definition as Record<string, AnyMethod>).map(([key, method]) => {
      const request = requestFor(key, names[key]!);
      const empty = method.requestDeserialize(Buffer.alloc(0)) as object;
      const bytes = method.requestSerialize({ ...empty, ...request });
      return { path: method.path, method, bytes, namesProject: Object.keys(request).length > 0 };
    }),
  ),
  ...['Check', 'List', 'Watch'].map((name) => ({
    path: `/grpc.health.v1.Health/${name}`,
    method: { requestStream: false, responseStream: name === 'Watch' },
    bytes: Buffer.alloc(0),
    namesProject: false,
  })),
  ...['v1', 'v1alpha'].map((version) => ({
    path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    method: { requestStream: true, responseStream: true },
    // list_services: ""
    bytes: Buffer.from([0x3a, 0]),
    namesProject: false,
  })),
].filter(({ path }) => policy.has(path.slice(1)));

const same = (bytes: Buffer): Buffer => bytes;

/** The status of a call; a stream counts as OK with its first message. */
async function codeOf({ path, method, bytes }: (typeof all)[number], authorization: string | undefined): Promise<status> {
  const metadata = metadataOf(authorization === undefined ? undefined : { authorization });
  const deadline = { deadline: Date.now() + 20_000 };
  return await new Promise((resolve) => {
    const done = (error: ServiceError | null): void => resolve(error?.code ?? status.OK);
    if (!method.responseStream) {
      client.makeUnaryRequest(path, same, same, bytes, metadata, deadline, done);
      return;
    }
    const call = method.requestStream
      ? client.makeBidiStreamRequest(path, same, same, metadata, deadline)
      : client.makeServerStreamRequest(path, same, same, bytes, metadata, deadline);
    call.on('error', done);
    call.on('end', () => done(null));
    call.on('data', () => {
      resolve(status.OK);
      call.cancel();
    });
    if ('write' in call) (call as unknown as { write(bytes: Buffer): void }).write(bytes);
  });
}

/** FAILED_PRECONDITION is what the handlers of this test answer. */
function expected({ path, namesProject }: (typeof all)[number], rule: Rule, role: Role, { name, known, here }: State): status {
  const permitted = path.startsWith('/grpc.') ? status.OK : status.FAILED_PRECONDITION;
  if (rule === 'anyone' && (known || name === 'none')) return permitted;
  if (!known) return status.UNAUTHENTICATED;
  if (rule === 'known') return permitted;
  return rule.includes(role) && (here || !namesProject) ? permitted : status.PERMISSION_DENIED;
}

test('every method of the policy is called below', () => {
  assert.deepEqual(all.map(({ path }) => path.slice(1)).sort(), [...policy.keys()].sort());
});

for (const state of states)
  for (const role of roles)
    test(`credential: ${state.name}; role: ${role}`, async () => {
      const wrong: string[] = [];
      for (const one of all) {
        const code = await codeOf(one, state.authorization(role));
        const wanted = expected(one, policy.get(one.path.slice(1))!, role, state);
        if (code !== wanted) wrong.push(`${one.path}: ${status[code]}, not ${status[wanted]}`);
      }
      assert.deepEqual(wrong, []);
    });
