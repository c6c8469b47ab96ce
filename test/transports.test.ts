/**
 * Every RPC over every transport: what TLS refuses reaches no service, and what it lets through is admitted by the identities, by token or certificate.
 * permissions.test.ts has the roles.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ChannelCredentials, Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { Identities } from '#auth/identities.js';
import { policy } from '#auth/policy.js';
import { createToken } from '#auth/tokens.js';
import { FailedPrecondition } from '#errors/errors.js';
import type { RpcServer } from '#rpc/server.js';
import { type Authority, makeAuthority, type Pair } from './support/certificates.js';
import { everyService, serverOfEveryService } from './support/every-service.js';
import { noOpenssl } from './support/openssl.js';

const streams = new Set([
  ...everyService.flatMap(({ definition }) =>
    Object.values(definition).flatMap(({ path, responseStream }) => (responseStream ? [path] : [])),
  ),
  '/grpc.health.v1.Health/Watch',
]);
const token = createToken();
const folder = mkdtempSync(join(tmpdir(), 'dropstream-transports-'));
let [servers, callers, strangers]: Authority[] = [];
let identities: Identities;
const ends: (() => void)[] = [];
const running = new Map<'TLS' | 'mutual TLS', RpcServer>();

before(async () => {
  if (noOpenssl) return;
  [servers, callers, strangers] = ['servers', 'callers', 'strangers'].map((name) =>
    makeAuthority({ after: (end) => void ends.push(end as () => void) }, name),
  );
  const path = join(folder, 'identities.json');
  const { id, sha256 } = token;
  const ann = { roles: { '*': 'operator' }, uris: ['spiffe://test/ann'], tokens: [{ id, sha256, created: '2026-01-01T00:00:00Z' }] };
  const service = { roles: { '*': 'service' }, uris: ['spiffe://test/service'] };
  writeFileSync(path, JSON.stringify({ version: 1, principals: { ann, service } }));
  identities = new Identities({ path });
  const own = servers!.issue('server');
  const reached = new FailedPrecondition('call', 'test', 'the handler was reached');
  running.set('TLS', serverOfEveryService(reached, identities.identify, own));
  running.set('mutual TLS', serverOfEveryService(reached, identities.identify, { ...own, clientAuthority: callers!.certificate }));
  for (const server of running.values()) await server.start();
});
after(async () => {
  for (const server of running.values()) await server.close();
  identities?.close();
  for (const end of ends) end();
  rmSync(folder, { recursive: true });
});

const secure = (authority: Authority | undefined, pair?: Pair): ChannelCredentials =>
  credentials.createSsl(authority!.certificate, pair?.key, pair?.certificate);

type Outcome = 'admitted' | 'UNAUTHENTICATED' | 'UNAVAILABLE';

interface Row {
  readonly server: 'TLS' | 'mutual TLS';
  readonly name: string;
  readonly with: () => ChannelCredentials;
  readonly token: boolean;
  readonly outcome: Outcome;
}

const rows: readonly Row[] = [
  { server: 'TLS', name: 'a token', with: () => secure(servers), token: true, outcome: 'admitted' },
  { server: 'TLS', name: 'nothing', with: () => secure(servers), token: false, outcome: 'UNAUTHENTICATED' },
  {
    server: 'TLS',
    name: 'a certificate that nobody asked for',
    with: () => secure(servers, callers!.issue('ann')),
    token: false,
    outcome: 'UNAUTHENTICATED',
  },
  { server: 'TLS', name: 'a token in plain text', with: () => credentials.createInsecure(), token: true, outcome: 'UNAVAILABLE' },
  {
    server: 'TLS',
    name: 'a token, and another authority for the server',
    with: () => secure(strangers),
    token: true,
    outcome: 'UNAVAILABLE',
  },
  { server: 'mutual TLS', name: 'a certificate', with: () => secure(servers, callers!.issue('ann')), token: false, outcome: 'admitted' },
  {
    server: 'mutual TLS',
    name: 'a certificate of nobody',
    with: () => secure(servers, callers!.issue('bob')),
    token: false,
    outcome: 'UNAUTHENTICATED',
  },
  {
    server: 'mutual TLS',
    name: 'a certificate of nobody and a token',
    with: () => secure(servers, callers!.issue('bob')),
    token: true,
    outcome: 'admitted',
  },
  { server: 'mutual TLS', name: 'a token without a certificate', with: () => secure(servers), token: true, outcome: 'UNAVAILABLE' },
  {
    server: 'mutual TLS',
    name: 'a token, and a certificate of strangers',
    with: () => secure(servers, strangers!.issue('ann')),
    token: true,
    outcome: 'UNAVAILABLE',
  },
  {
    server: 'mutual TLS',
    name: 'a token, and an expired certificate',
    with: () => secure(servers, callers!.issue('ann', -60)),
    token: true,
    outcome: 'UNAVAILABLE',
  },
  { server: 'mutual TLS', name: 'a token in plain text', with: () => credentials.createInsecure(), token: true, outcome: 'UNAVAILABLE' },
];

const same = (bytes: Buffer): Buffer => bytes;

/** The status of a call with an empty request; a stream counts as OK with its first message. */
async function codeOf(client: Client, path: string, metadata: Metadata): Promise<status> {
  const deadline = { deadline: Date.now() + 20_000 };
  return await new Promise((resolve) => {
    const done = (error: ServiceError | null): void => resolve(error?.code ?? status.OK);
    const reflection = path.startsWith('/grpc.reflection.');
    if (!streams.has(path) && !reflection) {
      client.makeUnaryRequest(path, same, same, Buffer.alloc(0), metadata, deadline, done);
      return;
    }
    const call = reflection
      ? client.makeBidiStreamRequest(path, same, same, metadata, deadline)
      : client.makeServerStreamRequest(path, same, same, Buffer.alloc(0), metadata, deadline);
    call.on('error', done);
    call.on('end', () => done(null));
    call.on('data', () => {
      resolve(status.OK);
      call.cancel();
    });
    // list_services: ""
    if (reflection) (call as unknown as { write(bytes: Buffer): void }).write(Buffer.from([0x3a, 0]));
  });
}

const refusals: readonly status[] = [status.UNAVAILABLE, status.UNAUTHENTICATED];

for (const row of rows)
  test(`${row.server}: ${row.name}`, { skip: noOpenssl, timeout: 60_000 }, async (t) => {
    const client = new Client(`localhost:${running.get(row.server)!.port}`, row.with());
    t.after(() => client.close());
    const metadata = new Metadata();
    if (row.token) metadata.set('authorization', `Bearer ${token.text}`);
    const wrong: string[] = [];
    for (const [method, rule] of policy) {
      const code = await codeOf(client, `/${method}`, metadata);
      const outcome = code === status.PERMISSION_DENIED ? 'PERMISSION_DENIED' : refusals.includes(code) ? status[code] : 'admitted';
      const nothing = row.name === 'nothing' || row.name === 'a certificate that nobody asked for';
      // No row is a service, and nobody else may be a member of a group.
      const isForbidden = row.outcome === 'admitted' && method.startsWith('dropstream.v1.GroupService/');
      const wanted = rule === 'anyone' && nothing ? 'admitted' : isForbidden ? 'PERMISSION_DENIED' : row.outcome;
      if (outcome !== wanted) wrong.push(`${method}: ${outcome}, not ${wanted}`);
    }
    assert.deepEqual(wrong, []);
  });
