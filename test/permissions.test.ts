/**
 * The policy against the protos, and every RPC × role × project × transport × state of the credential called for real: all services, health and reflection
 * on one server for each transport, with identities. The handlers only say that they were reached.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type ChannelCredentials, Client, credentials, Server, type ServiceError, status } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { Identities } from '#auth/identities.js';
import { ofEveryProject, policy, type Role, roles } from '#auth/policy.js';
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
import { type Authority, makeAuthority, type Pair } from './support/certificates.js';
import { everyService, serverOfEveryService } from './support/every-service.js';
import { issuerUrl, type JwtIssuer, jwtIssuer } from './support/jwt-issuer.js';
import { noOpenssl } from './support/openssl.js';
import { answerTo, type CredentialState, states, type Transport, transports } from './support/permission-states.js';
import { until } from './support/until.js';

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
    // Only the workers of a run call each other.
    if (method.startsWith('dropstream.v1.GroupService/')) {
      assert.deepEqual(rule, ['service'], method);
      continue;
    }
    assert.ok(rule.includes('operator'), method);
    assert.ok(!rule.includes('viewer') || rule.includes('submitter'), method);
    if (/\/(Delete)/.test(method)) assert.deepEqual(rule, ['operator'], method);
    if (/\/(Create|Update|Pause|Resume|Cancel)/.test(method)) assert.ok(!rule.includes('viewer'), method);
  }
});

const folder = mkdtempSync(join(tmpdir(), 'dropstream-permissions-'));
const far = '2999-01-01T00:00:00Z';
const created = '2026-01-01T00:00:00Z';
const projects = { 'of the project': 'mine', 'of all projects': '*', 'of another project': 'other', revoked: 'mine', expired: 'mine' };

/** What is shown, by state and role. */
const tokens = new Map<string, string>();
const jwts = new Map<string, string>();
const subjectOf = (name: string, role: Role): string => `${name.replaceAll(' ', '-')}-${role}`;

function principals() {
  return Object.fromEntries(
    Object.entries(projects).flatMap(([name, project]) =>
      roles.map((role) => {
        const { id, sha256, text } = createToken();
        tokens.set(`${name} ${role}`, text);
        const token = { id, sha256, created, expires: name === 'expired' ? created : far };
        return [
          subjectOf(name, role),
          { roles: { [project]: role }, uris: [`spiffe://test/${subjectOf(name, role)}`], tokens: [token] },
        ] as const;
      }),
    ),
  );
}

async function makeJwts(issuer: JwtIssuer, stranger: JwtIssuer) {
  const now = Math.floor(Date.now() / 1000);
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  for (const role of roles) {
    const claims = { exp: now + 3600, groups: [`of the project ${role}`] };
    const make = async (name: string, token: string | Promise<string>) => jwts.set(`${name} ${role}`, await token);
    for (const name of Object.keys(projects)) await make(name, issuer.token({ ...claims, groups: [`${name} ${role}`] }));
    await make('expired', issuer.token({ ...claims, exp: now - 3600 }));
    await make('of another issuer', issuer.token({ ...claims, iss: 'https://other.example' }));
    await make('for another audience', issuer.token({ ...claims, aud: 'other' }));
    await make('with another key', stranger.token(claims));
    await make('unsigned', `${encoded({ alg: 'none' })}.${encoded({ ...claims, iss: issuerUrl, aud: 'dropstream' })}.`);
  }
}

function authorization({ kind, name }: CredentialState, role: Role): string | undefined {
  if (kind === 'JWT') return `Bearer ${jwts.get(`${name} ${role}`)}`;
  if (kind !== 'token') return undefined;
  const valid = tokens.get(`of the project ${role}`)!;
  const made: Record<string, string> = {
    malformed: 'Bearer nonsense',
    'of another scheme': `Basic ${valid}`,
    'with another secret': `Bearer ${valid.slice(0, -43)}${'A'.repeat(43)}`,
    unknown: `Bearer ${createToken().text}`,
  };
  return made[name] ?? `Bearer ${tokens.get(`${name} ${role}`)}`;
}

let identities: Identities;
const servers = new Map<Transport, RpcServer>();
const clients = new Map<string, Client>();
let authority: Authority | undefined;
let strangers: Authority | undefined;
let ours: Pair | undefined;
const ends: (() => void)[] = [];

before(async () => {
  const [path, jwks] = [join(folder, 'identities.json'), join(folder, 'jwks.json')];
  const all = principals();
  const [issuer, old, stranger] = [await jwtIssuer(), await jwtIssuer(), await jwtIssuer()];
  await makeJwts(issuer, stranger);
  for (const role of roles) jwts.set(`revoked ${role}`, await old.token({ groups: [`of the project ${role}`], exp: 9e9 }, { kid: 'old' }));
  const keysOf = (one: JwtIssuer, kid: string) => (JSON.parse(one.jwks()) as { keys: object[] }).keys.map((key) => ({ ...key, kid }));
  const grants = Object.entries(projects).flatMap(([name, project]) =>
    roles.map((role) => ({ claim: 'groups', is: `${name} ${role}`, roles: { [project]: role } })),
  );
  const cluster = { issuer: issuerUrl, audiences: ['dropstream'], keys: { file: 'jwks.json' }, algorithms: ['ES256'], grants };
  const write = (kept: object, keys: object[]) => {
    writeFileSync(`${jwks}.next`, JSON.stringify({ keys }));
    renameSync(`${jwks}.next`, jwks);
    writeFileSync(`${path}.next`, JSON.stringify({ version: 1, principals: kept, issuers: { cluster } }));
    renameSync(`${path}.next`, path);
  };
  write(all, [...keysOf(issuer, 'key-1'), ...keysOf(old, 'old')]);
  identities = new Identities({ path, lookMs: 10 });
  // Each of these counts before it is revoked.
  const shown = [...roles.flatMap((role) => [tokens.get(`revoked ${role}`), jwts.get(`revoked ${role}`)])];
  const known = await Promise.all(
    shown.map((text) => identities.identify({ authorization: [`Bearer ${text}`], certificate: () => undefined })),
  );
  write(Object.fromEntries(Object.entries(all).filter(([name]) => !name.startsWith('revoked'))), keysOf(issuer, 'key-1'));
  await until('all of them are revoked', () => known.every((one) => one?.ended.aborted));

  if (noOpenssl === false) {
    [authority, strangers] = ['authority', 'strangers'].map((name) =>
      makeAuthority({ after: (end) => void ends.push(end as () => void) }, name),
    );
    ours = authority!.issue('server');
  }
  for (const transport of transports) {
    if (transport !== 'plain text' && ours === undefined) continue;
    const tls =
      transport === 'plain text' ? undefined : { ...ours!, ...(transport === 'TLS' ? {} : { clientAuthority: authority!.certificate }) };
    const server = serverOfEveryService(new FailedPrecondition('call', 'test', 'the handler was reached'), identities.identify, tls);
    await server.start();
    servers.set(transport, server);
  }
});
after(async () => {
  for (const client of clients.values()) client.close();
  for (const server of servers.values()) await server.close();
  identities.close();
  for (const end of ends) end();
  rmSync(folder, { recursive: true });
});

/** Connections are shared by all calls that may share one. */
function clientOver(transport: Transport, { kind, name }: CredentialState, role: Role): Client {
  const own = kind === 'certificate' ? name : 'without a URI';
  const byRole = kind === 'certificate' && !/^(none|of another authority|expired|without a URI)$/.test(name);
  const key = transport === 'mutual TLS' ? `${transport} ${own} ${byRole ? role : ''}` : transport;
  const known = clients.get(key);
  if (known) return known;
  const made = new Client(`127.0.0.1:${servers.get(transport)!.port}`, credentialsOver(transport, own, byRole ? role : undefined), {
    'grpc.ssl_target_name_override': 'localhost',
  });
  clients.set(key, made);
  return made;
}

function credentialsOver(transport: Transport, own: string, role: Role | undefined): ChannelCredentials {
  if (transport === 'plain text') return credentials.createInsecure();
  if (transport === 'TLS' || own === 'none') return credentials.createSsl(authority!.certificate);
  const issuer = own === 'of another authority' ? strangers! : authority!;
  const { certificate, key } = issuer.issue(role && subjectOf(own, role), own === 'expired' ? -60 : undefined);
  return credentials.createSsl(authority!.certificate, key, certificate);
}

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
async function codeOf({ path, method, bytes }: (typeof all)[number], client: Client, authorization: string | undefined): Promise<status> {
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
function expected({ path, namesProject }: (typeof all)[number], role: Role, { effect }: CredentialState): status {
  const concern = ofEveryProject.has(path.slice(1)) ? 'all projects' : namesProject ? 'a project' : 'no project';
  const answer = answerTo(effect, policy.get(path.slice(1))!, role, concern);
  if (answer === 'no connection') return status.UNAVAILABLE;
  if (answer !== 'yes') return status[answer];
  return path.startsWith('/grpc.') ? status.OK : status.FAILED_PRECONDITION;
}

test('every method of the policy is called below', () => {
  assert.deepEqual(all.map(({ path }) => path.slice(1)).sort(), [...policy.keys()].sort());
});

for (const transport of transports)
  for (const state of states.filter(({ over }) => over.includes(transport)))
    test(`${transport}; ${state.kind}: ${state.name}`, { skip: transport === 'plain text' ? false : noOpenssl }, async () => {
      const wrong: string[] = [];
      for (const role of roles) {
        const client = clientOver(transport, state, role);
        const shown = authorization(state, role);
        const codes = await Promise.all(all.map((one) => codeOf(one, client, shown)));
        for (const [k, one] of all.entries()) {
          const wanted = expected(one, role, state);
          if (codes[k] !== wanted) wrong.push(`${role} ${one.path}: ${status[codes[k]!]}, not ${status[wanted]}`);
        }
        // What does not depend on the role is called once.
        if (state.effect === 'unconnected' || state.effect === 'nobody') break;
      }
      assert.deepEqual(wrong, []);
    });
