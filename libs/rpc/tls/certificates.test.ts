import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { InvalidArgument } from '#errors/errors.js';
import { makeAuthority, type Pair } from '../../../test/support/certificates.js';
import { noOpenssl } from '../../../test/support/openssl.js';
import { standsUnder } from './certificates.js';
import { clientTlsOf, serverTlsOf } from './read-tls.js';

const skip = noOpenssl;
const DAY_MS = 86_400_000;

/** What a server is told about its files at the start, as field and reason. */
function told({ certificate, key }: { certificate: Buffer; key: Buffer }, authority?: Buffer, nowMs = Date.now()): string {
  const contents = [certificate, key, ...(authority ? [authority] : [])];
  try {
    serverTlsOf(['server.pem', 'server.key', 'clients.pem'].slice(0, contents.length), contents, nowMs);
    return '';
  } catch (error) {
    assert.ok(error instanceof InvalidArgument);
    return error.violations.map(({ field, value, allowed }) => `${field} ${value}: ${allowed}`).join();
  }
}

function material(t: TestContext) {
  const authority = makeAuthority(t, 'one');
  return { authority, own: authority.issue('server'), other: authority.issue('other') };
}

test('a server names what is wrong with its files', { skip }, (t) => {
  const { authority, own, other } = material(t);
  assert.equal(told(own, authority.certificate), '');
  const expired = authority.issue('late', -60);
  assert.match(told(expired), /^--tls-cert server\.pem: a certificate that has not expired; this one expired at 20/);
  assert.match(
    told(own, undefined, Date.now() - 3 * DAY_MS),
    /^--tls-cert server\.pem: a certificate that is valid now; this one begins at/,
  );
  assert.match(told({ ...own, key: other.key }), /^--tls-key server\.key: the key of the certificate in server\.pem$/);
  assert.match(told({ ...own, key: Buffer.from('') }), /^--tls-key server\.key: a file with a private key in PEM/);
  assert.match(told({ ...own, certificate: own.key }), /^--tls-cert server\.pem: a file with a certificate in PEM; it holds none$/);
  const torn = Buffer.from(own.certificate.toString().replace(/\n.{64}\n/, '\n'));
  assert.match(told({ ...own, certificate: torn }), /^--tls-cert server\.pem: a file with certificates in PEM; one of them is damaged$/);
  assert.match(told(own, Buffer.from('\n')), /^--tls-client-ca clients\.pem: a file with a certificate in PEM; it holds none$/);
  assert.match(
    told({ ...own }, authority.certificate, Date.now() + 0.5 * DAY_MS).concat(told(own, expired.certificate)),
    /^--tls-client-ca clients\.pem: certificates of which one has not expired; the last expired at/,
  );
  // An expired authority beside one that counts is usual while they change.
  assert.equal(told(own, Buffer.concat([expired.certificate, authority.certificate])), '');
});

test('a caller names what is wrong with its files', { skip }, (t) => {
  const { authority, own, other } = material(t);
  const paths = ['ca.pem', 'own.pem', 'own.key'];
  const refused = (...contents: Buffer[]) => {
    try {
      clientTlsOf(paths.slice(0, contents.length), contents, Date.now());
    } catch (error) {
      return (error as InvalidArgument).violations[0]?.field;
    }
    return undefined;
  };
  assert.equal(refused(authority.certificate, own.certificate, own.key), undefined);
  assert.equal(refused(Buffer.from('')), '--tls-ca');
  assert.equal(refused(authority.certificate, own.certificate, other.key), '--tls-key');
  const late = authority.issue('late', -60);
  assert.equal(refused(authority.certificate, late.certificate, late.key), '--tls-cert');
});

test('a chain stands under the authorities that are left', { skip }, (t) => {
  const [one, two] = [makeAuthority(t, 'one'), makeAuthority(t, 'two')];
  // Of the same name, and with another key.
  const impostor = makeAuthority(t, 'one');
  const parsed = (...pairs: Pick<Pair, 'certificate'>[]) => pairs.map(({ certificate }) => new X509Certificate(certificate));
  const chain = parsed(one.issue('a'), one);
  const stands = (authorities: X509Certificate[], nowMs = Date.now()) => standsUnder(chain, authorities, nowMs);
  assert.ok(stands(parsed(one)) && stands(parsed(two, one)));
  assert.ok(!stands(parsed(two)) && !stands([]) && !stands(parsed(impostor)));
  assert.ok(!stands(parsed(one), Date.now() + 3 * DAY_MS), 'it has expired');
  assert.ok(!standsUnder(parsed(one.issue('a')), parsed(one.issue('b')), Date.now()), 'a sibling is no authority');
  assert.ok(standsUnder(parsed(one), parsed(one), Date.now()), 'it signed itself and is trusted');
  assert.ok(!standsUnder([], parsed(one), Date.now()));
  const between = makeAuthority(t, 'between', one);
  const long = parsed(between.issue('c'), between);
  assert.ok(standsUnder(long, parsed(one), Date.now()));
  assert.ok(!standsUnder(long.slice(0, 1), parsed(one), Date.now()), 'a link is missing');
  assert.ok(!standsUnder(long, parsed(between), Date.now()), 'as TLS, which wants the one that signed itself');
});
