import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FailedPrecondition, InvalidArgument, Unauthenticated, Unavailable } from '#errors/errors.js';
import { callerToken } from './caller-token.js';
import { Identities } from './identities.js';
import { byCertificateAlone, type Identity, type Shown, uriNames } from './identity.js';
import { changeIdentityFile, type IdentityFile, readIdentityFile } from './identity-file.js';
import { createToken, isTokenOf, tokenIdOf } from './tokens.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-auth-'));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = (): string => join(folder, `${++files}.json`);

const shows = (token?: string, uris?: string[]): Shown => ({
  authorization: token === undefined ? [] : [`Bearer ${token}`],
  certificate: () => (uris === undefined ? undefined : { uris, fingerprint: 'AB:CD' }),
});
const created = '2026-01-01T00:00:00Z';
const entry = ({ id, sha256 }: { id: string; sha256: string }, expires?: string) => ({ id, sha256, created, ...(expires && { expires }) });
const fileOf = (principals: IdentityFile['principals']): IdentityFile => ({ version: 1, principals });

function open(file: IdentityFile, path = newPath()) {
  writeFileSync(path, JSON.stringify(file));
  const faults: unknown[] = [];
  const identities = new Identities({ path, lookMs: 10, onFault: (error) => faults.push(error) });
  after(() => identities.close());
  // Only a JWT is waited for.
  const who = (shown: Shown) => identities.identify(shown) as Identity | undefined;
  return { path, identities, faults, who };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let look = 0; !holds(); look++) {
    assert.ok(look < 1000, what);
    await sleep(10);
  }
}

test('a token has 256 random bits, shows its id, and is known by its hash alone', () => {
  const [a, b] = [createToken(), createToken()];
  assert.notEqual(a.text, b.text);
  assert.equal(tokenIdOf(a.text), a.id);
  assert.match(a.text, /^dst_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$/);
  assert.equal(isTokenOf(a.text, Buffer.from(a.sha256, 'hex')), true);
  for (const other of [b.text, `${a.text}x`, a.text.slice(0, -1), '']) assert.equal(isTokenOf(other, Buffer.from(a.sha256, 'hex')), false);
  assert.equal(isTokenOf(a.text, undefined), false);
});

test('a caller is who its token or the URI of its certificate says; several of both may belong to one principal', () => {
  const [first, second, bobs] = [createToken(), createToken(), createToken()];
  const { who } = open(
    fileOf({
      alice: {
        roles: { vision: 'submitter', '*': 'viewer' },
        uris: ['spiffe://x/alice'],
        tokens: [entry(first), entry(second, '2999-01-01T00:00:00Z')],
      },
      bob: { roles: {}, uris: [], tokens: [entry(bobs)] },
    }),
  );
  for (const shown of [shows(first.text), shows(second.text), shows(undefined, ['https://other', 'spiffe://x/alice'])]) {
    const { principal, grants } = who(shown)!;
    assert.deepEqual([principal, Object.fromEntries(grants)], ['alice', { vision: 'submitter', '*': 'viewer' }]);
  }
  assert.equal(who(shows(bobs.text, ['spiffe://x/alice']))!.principal, 'bob', 'a token counts before a certificate');
  assert.equal(who(shows()), undefined);
  assert.equal(who(shows(undefined, [])), undefined);
});

test('credentials that do not count are refused, with texts that hold no secret', () => {
  const [valid, expired] = [createToken(), createToken()];
  const { who } = open(fileOf({ alice: { roles: {}, uris: [], tokens: [entry(valid), entry(expired, '2026-01-02T00:00:00Z')] } }));
  const forged = `dst_${valid.id}_${createToken().text.slice(-43)}`;
  const bad: Shown[] = [
    ...[forged, createToken().text, expired.text, 'nonsense', ''].map((text) => shows(text)),
    shows(undefined, ['spiffe://x/unknown']),
    { ...shows(), authorization: [`Bearer ${valid.text}`, `Bearer ${valid.text}`] },
    { ...shows(), authorization: [valid.text] },
    { ...shows(), authorization: [`Basic ${valid.text}`] },
  ];
  for (const shown of bad)
    assert.throws(
      () => who(shown),
      (error) => error instanceof Unauthenticated && !/dst_|nonsense/.test(error.message),
    );
});

test('a changed file counts soon: revoked and changed credentials end, others go on; a bad file changes nothing', async () => {
  const [kept, revoked, changed] = [createToken(), createToken(), createToken()];
  const before = fileOf({
    kept: { roles: { p: 'viewer' }, uris: [], tokens: [entry(kept)] },
    revoked: { roles: { p: 'viewer' }, uris: [], tokens: [entry(revoked)] },
    changed: { roles: { p: 'viewer' }, uris: [], tokens: [entry(changed)] },
  });
  const { path, who, faults } = open(before);
  const [k, r, c] = [kept, revoked, changed].map(({ text }) => who(shows(text))!);
  for (const content of ['{', '{"version":2}', JSON.stringify({ ...before, more: kept.text })]) {
    const had = faults.length;
    writeFileSync(path, content);
    await until('the fault is reported', () => faults.length > had);
    assert.equal(who(shows(revoked.text)), r);
  }
  assert.ok(faults.every((fault) => fault instanceof InvalidArgument && !fault.message.includes(kept.text)));
  const { revoked: _, ...others } = before.principals;
  writeFileSync(`${path}.2`, JSON.stringify(fileOf({ ...others, changed: { ...others.changed!, roles: { p: 'operator' } } })));
  renameSync(`${path}.2`, path);
  await until('the token is revoked', () => r!.ended.aborted);
  assert.ok(r!.ended.reason instanceof Unauthenticated);
  assert.ok(c!.ended.reason instanceof Unavailable, 'its caller may come back');
  assert.equal(k!.ended.aborted, false);
  assert.throws(() => who(shows(revoked.text)), Unauthenticated);
  assert.equal(who(shows(kept.text)), k);
  assert.equal(who(shows(changed.text))!.grants.get('p'), 'operator');
});

test('what a token began ends when it expires', async () => {
  const token = createToken();
  const expires = new Date(Date.now() + 300).toISOString();
  const { who } = open(fileOf({ alice: { roles: {}, uris: [], tokens: [entry(token, expires)] } }));
  const { ended } = who(shows(token.text))!;
  await until('it ends', () => ended.aborted);
  assert.match((ended.reason as Error).message, /its token has expired/);
  assert.throws(() => who(shows(token.text)), /its token has expired/);
});

test('a file that says something else than identities is refused, and says where', () => {
  const token = createToken();
  const wrong: [unknown, RegExp][] = [
    [{ version: 1, principals: { 'A B': { roles: {} } } }, /principals/],
    [fileOf({ a: { roles: { p: 'admin' as never }, uris: [], tokens: [] } }), /principals\.a\.roles\.p/],
    [fileOf({ a: { roles: { 'Not A Project': 'viewer' }, uris: [], tokens: [] } }), /principals\.a\.roles/],
    [fileOf({ a: { roles: {}, uris: [], tokens: [{ ...entry(token), sha256: token.text }] } }), /principals\.a\.tokens\.0\.sha256/],
    [
      fileOf({ a: { roles: {}, uris: [], tokens: [entry(token)] }, b: { roles: {}, uris: [], tokens: [entry(token)] } }),
      /without a second token/,
    ],
    [fileOf({ a: { roles: {}, uris: ['u:x', 'u:x'], tokens: [] } }), /without a second URI u:x/],
  ];
  for (const [content, expected] of wrong) {
    const path = newPath();
    writeFileSync(path, JSON.stringify(content));
    assert.throws(
      () => readIdentityFile(path),
      (error) => error instanceof InvalidArgument && expected.test(error.message) && !error.message.includes(token.text),
    );
  }
  assert.throws(() => readIdentityFile(join(folder, 'none.json')), InvalidArgument);
});

test('changes are whole, one at a time, and readable by the owner only', () => {
  const path = newPath();
  changeIdentityFile(path, (file) => ({ ...file, principals: { a: { roles: { p: 'viewer' }, uris: [], tokens: [] } } }));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  chmodSync(path, 0o644);
  changeIdentityFile(path, (file) => {
    assert.throws(() => changeIdentityFile(path, (same) => same), FailedPrecondition);
    return { ...file, principals: { ...file.principals, b: { roles: {}, uris: [], tokens: [] } } };
  });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(Object.keys(readIdentityFile(path).principals), ['a', 'b']);
  const now = readFileSync(path, 'utf8');
  assert.throws(() =>
    changeIdentityFile(path, () => {
      throw new RangeError('not this time');
    }),
  );
  assert.equal(readFileSync(path, 'utf8'), now);
  changeIdentityFile(path, (file) => file);
});

test('the URIs of a certificate are only those that it has', () => {
  const names: [string | undefined, string[]][] = [
    [undefined, []],
    ['DNS:localhost, URI:spiffe://x/alice, IP Address:127.0.0.1, URI:https://b', ['spiffe://x/alice', 'https://b']],
    ['DNS:"a, URI:spiffe://x/admin", URI:"spiffe://x/a,b"', ['spiffe://x/a,b']],
    ['email:URI:spiffe://x/admin', []],
  ];
  for (const [text, uris] of names) assert.deepEqual(uriNames(text), uris, text);
  const alone = byCertificateAlone(shows(undefined, ['spiffe://x/a']))!;
  assert.deepEqual([alone.principal, alone.grants.get('*')], ['spiffe://x/a', 'operator']);
  assert.equal(byCertificateAlone(shows(undefined, []))!.principal, 'certificate AB:CD');
  assert.equal(byCertificateAlone(shows()), undefined);
});

test('the token of a caller: from the file, else DROPSTREAM_TOKEN, else DROPSTREAM_TOKEN_FILE; errors do not show it', () => {
  const [given, plain, named] = [createToken().text, createToken().text, createToken().text];
  const [path, other] = [newPath(), newPath()];
  writeFileSync(path, `${given}\n`);
  writeFileSync(other, named);
  const env = { DROPSTREAM_TOKEN: plain, DROPSTREAM_TOKEN_FILE: other };
  assert.equal(callerToken(path, env)!(), given);
  assert.equal(callerToken('', env)!(), plain);
  assert.equal(callerToken(undefined, { ...env, DROPSTREAM_TOKEN: '' })!(), named);
  assert.equal(callerToken(undefined, {}), undefined);
  const broken = `${plain} with words`;
  writeFileSync(path, broken);
  for (const read of [
    () => callerToken(path, {}),
    () => callerToken('', { DROPSTREAM_TOKEN: broken }),
    () => callerToken(join(folder, 'none'), {}),
    () => callerToken(plain, {}),
  ])
    assert.throws(read, (error) => error instanceof InvalidArgument && !error.message.includes('dst_'));
});
