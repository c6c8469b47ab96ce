import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { noOpenssl } from '../../test/support/openssl.js';
import { keysFetcher } from './fetch-keys.js';

const skip = noOpenssl;
const folder = mkdtempSync(join(tmpdir(), 'dropstream-keys-'));
const open: Server[] = [];
after(() => {
  for (const server of open) server.close();
  rmSync(folder, { recursive: true });
});

const listening = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    open.push(server);
    server.unref();
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });

let authority: Buffer;
let port: number;
const asked: string[] = [];

before(async () => {
  if (skip !== false) return;
  const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,DNS:issuer.invalid', '-days', '2', '-nodes'];
  const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-keyout', key, '-out', certificate, ...names];
  execFileSync('openssl', made, { stdio: 'ignore' });
  authority = readFileSync(certificate);
  const server = createServer({ key: readFileSync(key), cert: authority }, ({ url, headers }, response) => {
    asked.push(`${url} ${headers.authorization ?? '-'}`);
    if (url === '/keys?v=1') response.end('{"keys": []}');
    else if (url === '/moved') response.writeHead(302, { location: '/keys?v=1' }).end();
    else if (url === '/long') response.end('x'.repeat(2000));
    else if (url === '/slow') response.write('{');
    else response.writeHead(404).end();
  });
  port = await listening(server);
});

const fetched = (path: string, { host = 'localhost', at = port, env = {}, token = undefined as string | undefined, trusted = true } = {}) =>
  keysFetcher(env)({
    url: `https://${host}:${at}${path}`,
    authority: trusted ? authority : undefined,
    token,
    maxBytes: 1000,
    signal: AbortSignal.timeout(5000),
  });

test('the keys are what the URL answers, to whoever shows the token', { skip }, async () => {
  assert.equal(String(await fetched('/keys?v=1')), '{"keys": []}');
  assert.equal(String(await fetched('/keys?v=1', { token: 'shown' })), '{"keys": []}');
  assert.deepEqual(asked.splice(0), ['/keys?v=1 -', '/keys?v=1 Bearer shown']);
});

test('a redirection is not followed; errors, long answers and unknown authorities are refused', { skip }, async () => {
  await assert.rejects(fetched('/moved'), /localhost answers with HTTP status 302/);
  await assert.rejects(fetched('/none'), /localhost answers with HTTP status 404/);
  await assert.rejects(fetched('/long'), /more than 1000 bytes/);
  assert.deepEqual(asked.splice(0), ['/moved -', '/none -', '/long -']);
  await assert.rejects(fetched('/keys?v=1', { trusted: false }), /self-signed certificate/);
  await assert.rejects(fetched('/keys?v=1', { at: 1 }), /ECONNREFUSED/);
  const patience = AbortSignal.timeout(300);
  const slow = { url: `https://localhost:${port}/slow`, authority, token: undefined, maxBytes: 1000, signal: patience };
  await assert.rejects(keysFetcher({})(slow), /abort/i);
  assert.deepEqual(asked.splice(0), ['/slow -']);
});

test('a proxy is used as for services, and its password is not said', { skip }, async () => {
  const through: string[] = [];
  const proxy = createHttpServer();
  proxy.on('connect', ({ url, headers }, socket) => {
    through.push(`${url} ${headers['proxy-authorization']}`);
    if (headers['proxy-authorization'] === undefined) return void socket.end('HTTP/1.1 407 no\r\n\r\n');
    const target = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 yes\r\n\r\n');
      socket.pipe(target).pipe(socket);
    });
    for (const one of [socket, target]) one.on('error', () => {});
  });
  const at = await listening(proxy);
  const env = { https_proxy: `http://me:hidden@127.0.0.1:${at}` };
  assert.equal(String(await fetched('/keys?v=1', { host: 'issuer.invalid', env })), '{"keys": []}');
  assert.deepEqual(through.splice(0), [`issuer.invalid:${port} Basic ${Buffer.from('me:hidden').toString('base64')}`]);
  await assert.rejects(fetched('/keys?v=1', { host: 'issuer.invalid', env: { https_proxy: `http://127.0.0.1:${at}` } }), /HTTP status 407/);
  await assert.rejects(
    fetched('/keys?v=1', { host: 'issuer.invalid', env: { https_proxy: 'http://me:hidden@127.0.0.1:1' } }),
    (error) => error instanceof Error && /the proxy .*ECONNREFUSED/.test(error.message) && !error.message.includes('hidden'),
  );
  await assert.rejects(fetched('/keys?v=1', { host: 'issuer.invalid', env: { ...env, no_proxy: '.invalid' } }), /ENOTFOUND|EAI_AGAIN/);
  assert.equal(through.length, 1);
});
