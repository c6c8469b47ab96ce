import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidArgument, Unauthenticated, Unavailable } from '#errors/errors.js';
import { issuerUrl, jwtIssuer } from '../../test/support/jwt-issuer.js';
import { until } from '../../test/support/until.js';
import { Identities } from './identities.js';
import type { Identity } from './identity.js';
import type { FetchKeys } from './signing-keys.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-jwt-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = (): string => join(folder, `${++files}.json`);

const trainer = 'system:serviceaccount:vision:trainer';
/** What Kubernetes puts into the token of a service account. */
const ofPod = { sub: trainer, 'kubernetes.io': { namespace: 'vision', serviceaccount: { name: 'trainer', uid: 'u' } } };
const grants = [
  { claim: 'sub', is: trainer, roles: { vision: 'submitter' } },
  { claim: ['kubernetes.io', 'namespace'], is: ['vision', 'audio'], roles: { vision: 'viewer', shared: 'viewer' } },
  { claim: 'groups', is: 'ops', roles: { '*': 'operator' } },
];
const cluster = (more: object) => ({ issuer: issuerUrl, audiences: ['dropstream', 'other-name'], grants, ...more });

function replace(path: string, content: string): void {
  writeFileSync(`${path}.next`, content);
  renameSync(`${path}.next`, path);
}

function open(issuers: object, fetchKeys?: FetchKeys) {
  const path = newPath();
  const write = (now: object): void => replace(path, JSON.stringify({ version: 1, principals: {}, issuers: now }));
  write(issuers);
  const faults: Error[] = [];
  const onFault = (error: unknown): unknown => faults.push(error as Error);
  const identities = new Identities({ path, lookMs: 10, onFault, ...(fetchKeys && { fetchKeys }) });
  after(() => identities.close());
  const who = async (token: string): Promise<Identity> =>
    (await identities.identify({ authorization: [`Bearer ${token}`], certificate: () => undefined }))!;
  return { write, faults, who, identities };
}

async function openWithFile(more: object = {}, algorithm = 'ES256') {
  const issuer = await jwtIssuer(algorithm);
  const jwks = newPath();
  writeFileSync(jwks, issuer.jwks());
  // Relative to the file of identities.
  const text = cluster({ keys: { file: jwks.slice(folder.length + 1) }, algorithms: [algorithm], ...more });
  return { issuer, jwks, text, ...open({ cluster: text }) };
}

const refusedAs = (message: RegExp) => (error: unknown) => error instanceof Unauthenticated && message.test(error.message);

test('the token of a service account of Kubernetes is known by its subject and its claims, and verified once', async () => {
  for (const algorithm of ['RS256', 'ES256', 'EdDSA']) {
    const { issuer, who, identities } = await openWithFile({}, algorithm);
    const token = await issuer.token({ ...ofPod, aud: ['somebody', 'dropstream'] });
    const [identity, same] = await Promise.all([who(token), who(token)]);
    assert.equal(identity.principal, `cluster:${trainer}`);
    assert.deepEqual(Object.fromEntries(identity.grants), { vision: 'submitter', shared: 'viewer' }, 'the first entry that holds counts');
    assert.equal(same, identity);
    // No promise: nothing is verified any more.
    assert.equal(identities.identify({ authorization: [`Bearer ${token}`], certificate: () => undefined }), identity);
    const groups = await who(await issuer.token({ groups: ['dev', 'ops'] }));
    assert.deepEqual(Object.fromEntries(groups.grants), { '*': 'operator' });
    assert.equal((await who(await issuer.token({ groups: 'nothing' }))).grants.size, 0);
  }
});

test('another claim names the caller, which is never a principal of the file or of another issuer', async () => {
  const { issuer, who } = await openWithFile({ principal: ['identity', 'email'] });
  assert.equal((await who(await issuer.token({ identity: { email: 'a@b.c' } }))).principal, 'cluster:a@b.c');
  for (const identity of [undefined, 'a@b.c', { email: 7 }, { email: '' }, { email: 'a b' }, { email: 'x'.repeat(181) }, { email: 'a\n' }])
    await assert.rejects(who(await issuer.token({ identity })), refusedAs(/does not say who the caller is/));
});

test('tokens that do not count are refused, and the refusal holds nothing of them', async () => {
  const { issuer, who, jwks } = await openWithFile();
  const now = Math.floor(Date.now() / 1000);
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { iss: issuerUrl, aud: 'dropstream', sub: 'mallory', exp: now + 60 };
  const good = await issuer.token({ sub: 'mallory' });
  const [header, payload, signature] = good.split('.') as [string, string, string];
  const hs = `${encoded({ alg: 'HS256', kid: 'key-1' })}.${encoded(claims)}`;
  const stranger = await jwtIssuer();
  const cases: [string, RegExp][] = [
    [await issuer.token({ sub: 'mallory', exp: now - 30 }), /its token has expired$/],
    [await issuer.token({ sub: 'mallory', aud: 'elsewhere' }), /its token is not for this audience$/],
    [await issuer.token({ sub: 'mallory', aud: undefined }), /its token is not for this audience$/],
    [await stranger.token({ sub: 'mallory' }), /the signature of its token is not valid$/],
    [await issuer.token({ sub: 'mallory' }, { kid: 'key-9' }), /the signature of its token is not valid$/],
    [`${header}.${encoded({ ...claims, groups: ['ops'] })}.${signature}`, /the signature of its token is not valid$/],
    [await issuer.token({ sub: 'mallory', iss: 'https://mallory.example' }), /its token is not valid$/],
    [await issuer.token({ sub: 'mallory', iss: '__proto__' }), /its token is not valid$/],
    [await issuer.token({ sub: 'mallory', exp: undefined }), /its token is not valid$/],
    [await issuer.token({ sub: 'mallory', nbf: now + 600 }), /its token is not valid$/],
    [`${encoded({ alg: 'none' })}.${encoded(claims)}.`, /its token is not valid$/],
    // With the public key as the secret, as in CVE-2015-9235.
    [`${hs}.${createHmac('sha256', issuer.jwks()).update(hs).digest('base64url')}`, /its token is not valid$/],
    [`${header}.${payload}.`, /is not valid$/],
    [`${header}.!.${signature}`, /its token is not valid$/],
    ['eyJ.e.e', /its token is not valid$/],
  ];
  for (const [token, message] of cases)
    await assert.rejects(who(token), (error) => {
      assert.ok(refusedAs(message)(error), `${message}: ${error}`);
      return !/mallory|eyJ|key-/.test((error as Error).message) && (error as Error).cause === undefined;
    });
  assert.ok(jwks);
  assert.equal((await who(good)).principal, 'cluster:mallory');
  assert.equal((await who(await issuer.token({ exp: now - 2 }))).principal, 'cluster:someone', 'clocks may differ by 5 s');
});

test('the algorithms are those that are named, and only those whose keys cannot sign', async () => {
  const { issuer, who } = await openWithFile({ algorithms: ['RS256'] });
  await assert.rejects(who(await issuer.token({})), refusedAs(/its token is not valid$/));
  for (const algorithm of ['none', 'HS256', 'HS512', 'dir'])
    assert.throws(() => open({ cluster: cluster({ keys: { file: 'x' }, algorithms: [algorithm] }) }), /issuers\.cluster\.algorithms\.0/);
});

test('what a token began ends when it expires', async () => {
  const { issuer, who } = await openWithFile({ toleranceSeconds: 0 });
  const token = await issuer.token({ exp: Math.floor(Date.now() / 1000) + 2 });
  const { ended } = await who(token);
  assert.equal(ended.aborted, false);
  await until('the token expires', () => ended.aborted);
  assert.match((ended.reason as Error).message, /its token has expired/);
  await assert.rejects(who(token), refusedAs(/its token has expired/));
});

test('a key that its file no longer has ends its tokens; those of others go on; a bad file changes nothing', async () => {
  const { issuer, jwks, who, faults } = await openWithFile();
  const token = await issuer.token({});
  const before = await who(token);
  const { keys: old } = JSON.parse(issuer.jwks()) as { keys: object[] };
  await issuer.rotate();
  const newer = await issuer.token({});
  const { keys: fresh } = JSON.parse(issuer.jwks()) as { keys: object[] };
  await assert.rejects(who(newer), refusedAs(/signature/));
  replace(jwks, JSON.stringify({ keys: [...old, ...fresh] }));
  await until('the new key is known', () => who(newer).then(Boolean, () => false));
  assert.equal(await who(token), before);
  for (const wrong of ['{', '{"keys": []}', JSON.stringify({ keys: [{ kty: 'oct', k: 'c2VjcmV0' }] })]) {
    const had = faults.length;
    replace(jwks, wrong);
    await until('the fault is reported', () => faults.length > had);
  }
  assert.ok(faults.every((fault) => fault instanceof InvalidArgument && !fault.message.includes('c2VjcmV0')));
  assert.equal(before.ended.aborted, false);
  replace(jwks, JSON.stringify({ keys: fresh }));
  await until('the old key is gone', () => before.ended.aborted);
  assert.ok(before.ended.reason instanceof Unauthenticated);
  await assert.rejects(who(token), refusedAs(/signature/));
  assert.equal((await who(newer)).ended.aborted, false);
});

test('an issuer that is changed or removed ends its tokens; the first may come back', async () => {
  const { issuer, text, who, write } = await openWithFile();
  const token = await issuer.token({ groups: ['ops'] });
  const first = await who(token);
  write({ cluster: { ...text, grants: [] } });
  await until('the change is seen', () => first.ended.aborted);
  assert.ok(first.ended.reason instanceof Unavailable);
  const second = await who(token);
  assert.equal(second.grants.size, 0);
  write({ cluster: { ...text, grants: [] }, other: { ...text, issuer: 'https://other.example' } });
  await until('the other one is known', async () => who(await issuer.token({ iss: 'https://other.example' })).then(Boolean, () => false));
  assert.equal(await who(token), second, 'an issuer that is the same goes on');
  write({});
  await until('the removal is seen', () => second.ended.aborted);
  assert.ok(second.ended.reason instanceof Unauthenticated);
  await assert.rejects(who(token), refusedAs(/its token is not valid/));
});

test('keys of a URL: kept while it is away, and asked for an unknown key, but not by every caller', async () => {
  const issuer = await jwtIssuer();
  const asked: string[] = [];
  let answer: () => string = () => {
    throw new Error('the issuer is away');
  };
  const fetch: FetchKeys = async ({ url, token, authority }) => {
    asked.push(`${url} ${token} ${authority}`);
    return Buffer.from(answer());
  };
  const [tokenFile, authority] = [newPath(), newPath()];
  writeFileSync(tokenFile, 'shown\n');
  writeFileSync(authority, 'PEM');
  const url = 'https://issuer.example/keys';
  const { who, faults } = open({ cluster: cluster({ keys: { url, tokenFile, authority, refreshSeconds: 1 } }) }, fetch);
  const token = await issuer.token({});
  await assert.rejects(who(token), (error) => error instanceof Unavailable && /keys of their issuer are not known yet/.test(error.message));
  assert.match(String(faults[0]), /the keys of cluster could not be fetched: the issuer is away/);
  answer = issuer.jwks;
  await until('the keys are fetched', () => who(token).then(Boolean, () => false));
  const known = await who(token);
  answer = () => '{"keys": [{}]}';
  const had = faults.length;
  await until('they are looked for again', () => faults.length > had);
  assert.equal(await who(token), known);
  await issuer.rotate();
  answer = issuer.jwks;
  const before = asked.length;
  const strangers = await Promise.allSettled(Array.from({ length: 20 }, async () => who(await issuer.token({}))));
  assert.ok(asked.length <= before + 2, `${asked.length - before} requests`);
  assert.ok(
    strangers.every(({ status, ...rest }) => status === 'fulfilled' || refusedAs(/signature/)((rest as PromiseRejectedResult).reason)),
  );
  await until('the old key is gone', () => known.ended.aborted);
  assert.equal(new Set(asked).size, 1);
  assert.equal(asked[0], `${url} shown PEM`);
});

test('issuers that cannot be used are refused, and say where', async () => {
  const keys = { file: 'none.json' };
  const wrong: [object, RegExp][] = [
    [{ keys }, /a file of an issuer is ".*none\.json"/],
    [{ keys: { url: 'http://issuer.example/keys' } }, /issuers\.cluster\.keys/],
    [{ keys: { url: 'https://me:hidden@issuer.example/keys' } }, /issuers\.cluster\.keys/],
    [{ keys: { ...keys, url: 'https://issuer.example/keys' } }, /issuers\.cluster\.keys/],
    [{ keys, audiences: [] }, /issuers\.cluster\.audiences/],
    [{ keys, toleranceSeconds: 3600 }, /issuers\.cluster\.toleranceSeconds/],
    [{ keys, grants: [{ claim: 'sub', is: 'x', roles: { p: 'admin' } }] }, /issuers\.cluster\.grants\.0\.roles\.p/],
  ];
  for (const [more, message] of wrong)
    assert.throws(
      () => open({ cluster: cluster(more) }),
      (error) => error instanceof InvalidArgument && message.test(error.message) && !error.message.includes('hidden'),
    );
  const url = { url: 'https://issuer.example/keys' };
  const never: FetchKeys = () => Promise.reject(new Error('not asked'));
  assert.throws(() => open({ a: cluster({ keys: url }), b: cluster({ keys: url }) }, never), /without a second issuer/);
  const weak = newPath();
  writeFileSync(weak, JSON.stringify({ keys: [{ kty: 'RSA', n: 'abc', e: 'AQAB' }] }));
  assert.throws(() => open({ cluster: cluster({ keys: { file: weak } }) }), /at least 2048 bits/);
});
