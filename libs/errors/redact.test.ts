import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isSecretName, redacted } from './redact.js';

const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl';
const dst = `dst_0123456789ab_${'s'.repeat(43)}`;

test('secrets are taken out by their form, and the rest of the text stays', () => {
  const cases: [string, string][] = [
    ['open s3://AKIA:se/c?r@et@bucket/x failed', 'open s3://…@bucket/x failed'],
    ['"https://me:hidden@host:1/p"', '"https://…@host:1/p"'],
    ['/home/x/https:/me:hidden@host/p is missing', '/home/x/https:/…@host/p is missing'],
    ['cut off: s3://AKIA:hid...', 'cut off: s3://AKIA:…'],
    ['http://host/a?X-Amz-Signature=0af&x=1', 'http://host/a?X-Amz-Signature=…&x=1'],
    ['http://host/a?x=1&X-Amz-Credential=AK%2F1&X-Amz-Security-Token=q/w==', 'http://host/a?x=1&X-Amz-Credential=…&X-Amz-Security-Token=…'],
    ['to=http%3A%2F%2Fh%3Fx%3D1%26X-Amz-Signature%3D0af%26y%3D2', 'to=http%3A%2F%2Fh%3Fx%3D1%26X-Amz-Signature%3D…%26y%3D2'],
    ['/b?client_secret=hidden#f', '/b?client_secret=…#f'],
    [`the token ${dst} is`, 'the token dst_0123456789ab_… is'],
    [`authorization: Bearer ${jwt}, more`, 'authorization: Bearer …, more'],
    [`{"authorization":"Bearer ${dst}","x":1}`, '{"authorization":"Bearer …","x":1}'],
    ['{"proxy-authorization":"bWU6aGlkZGVu"}', '{"proxy-authorization":"…"}'],
    ['{"authorization":["Basic bWU6aGlkZGVu",1],"x":null}', '{"authorization":["Basic …",1],"x":null}'],
    ['{"authorization":null}', '{"authorization":null}'],
    ['Basic bWU6aGlkZGVu is sent', 'Basic … is sent'],
    [`${jwt} alone`, 'eyJ… alone'],
    ['-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\nrest', '-----BEGIN EC PRIVATE KEY-----…\nrest'],
    ['-----BEGIN PRIVATE KEY-----\nabc', '-----BEGIN PRIVATE KEY-----…'],
    ['file:///a/-----BEGIN%20PRIVATE%20KEY-----%0Aab-----END%20PRIVATE%20KEY-----/b', 'file:///a/-----BEGIN%20PRIVATE%20KEY-----…/b'],
    ['-----BEGIN PUBLIC KEY-----\nabc\n-----BEGIN PRIVATE KEY-----\nabc', '-----BEGIN PUBLIC KEY-----\nabc\n-----BEGIN PRIVATE KEY-----…'],
    ['file:///a/Bearer%20X185bJo2daCE1 is', 'file:///a/Bearer%20… is'],
  ];
  for (const [text, expected] of cases) {
    assert.equal(redacted(text), expected);
    assert.equal(redacted(expected), expected, 'a second time changes nothing');
  }
});

test('texts without secrets stay as they are', () => {
  for (const text of [
    'projects/vision/runs/first is not a name',
    'https://s3.us-east-1.amazonaws.com/bucket?region=us-east-1&endpoint=http://host:9000',
    'its authorization is not one bearer token',
    'basic authentication is not supported; bearer tokens are',
    '--token-file is "token.txt", must be the name of a file with a token, and not the token itself',
    'spiffe://example.org/alice and a@b.c',
    'http://host:9000, http://127.0.0.1:9000/p?x=1, grpc://h:1. dns:///host:7011 (http://[::1]:9000) must be http://host:port',
    '{"code":"OK","key":"runs/1","signature":3}',
  ])
    assert.equal(redacted(text), text);
});

test('JSON stays valid, and holds no secret, wherever that stands', () => {
  const secret = fc.constantFrom('s3://me:se"cr\\et@host', `Bearer ${jwt}`, dst, 'http://h/?sig=sec"ret\\n', 'https://a:b@c\n');
  fc.assert(
    fc.property(fc.string(), secret, fc.string(), (before, between, after) => {
      const line = redacted(JSON.stringify({ before, msg: `${before} ${between} ${after}` }));
      assert.equal(typeof JSON.parse(line), 'object');
    }),
    { numRuns: 300 },
  );
});

test('time is linear in the length of the text', () => {
  for (const piece of [
    'https://',
    'a',
    '@',
    'https://a@',
    'authorization',
    '?sig=',
    'eyJ',
    '-----BEGIN PRIVATE KEY-----',
    'secret_',
    '%26token',
    'a-',
  ])
    assert.ok(redacted(piece.repeat(20_000)).length > 0);
});

test('names of secrets', () => {
  for (const name of ['--secret-key', 'AWS_SECRET_ACCESS_KEY', 'sessionToken', '--token', 'password', 'DROPSTREAM_S3_ACCESS_KEY', 'apiKey'])
    assert.equal(isSecretName(name), true, name);
  for (const name of ['--token-file', '--tls-key', '--store', 'monkey', 'tokens', 'key', '--seed', 'page_token', 'pageToken'])
    assert.equal(isSecretName(name), false, name);
});
