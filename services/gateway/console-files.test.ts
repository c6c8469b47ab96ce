// The files of the console as browsers load them, from a folder in the place of the build's.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { InvalidArgument } from '#errors/errors.js';
import { gatewayConfig } from './config.js';
import { ConsoleFiles } from './http/console-files.js';
import { Pages } from './http/pages.js';

const script = 'export const curves = 12;\n'.repeat(200);

async function serving(t: TestContext, build = true) {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-console-'));
  const write = () => {
    mkdirSync(join(folder, 'assets'), { recursive: true });
    writeFileSync(join(folder, 'assets', 'index-B1a2c3d4.js'), script);
    writeFileSync(join(folder, 'assets', 'index-B1a2c3d4.js.map'), '{}');
    writeFileSync(join(folder, 'icon.svg'), '<svg/>');
    writeFileSync(join(folder, 'index.html'), '<!doctype html><title>console</title>');
  };
  if (build) write();
  const pages = new Pages(new ConsoleFiles(() => folder), '{"openapi":"3.1.0"}', { grafana: 'https://grafana.example.com' });
  const server = createServer((asked, answer) => void pages.answer(asked.url!.split('?')[0]!, asked, answer));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  const { port } = server.address() as AddressInfo;
  /** Without the decompression that fetch does, and without its changes of paths. */
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    new Promise<{ status: number; headers: Record<string, string | undefined>; body: Buffer }>((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, path, headers, method }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers as Record<string, string>, body: Buffer.concat(chunks) }),
        );
      });
      sent.on('error', reject);
      sent.end();
    });
  return { get, write, folder };
}

test('the page has a strict policy and is asked for every time; what has a hash in its name is kept', async (t) => {
  const { get } = await serving(t);
  const page = await get('/');
  assert.deepEqual(
    [page.status, page.headers['content-type'], page.headers['cache-control']],
    [200, 'text/html; charset=utf-8', 'no-cache'],
  );
  assert.deepEqual(JSON.parse(String((await get('/console.json')).body)), { grafana: 'https://grafana.example.com' });
  const policy = page.headers['content-security-policy']!;
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|http|\*/);
  assert.equal(page.headers['x-frame-options'], 'DENY');
  const asset = await get('/assets/index-B1a2c3d4.js');
  assert.equal(asset.headers['cache-control'], 'public, max-age=31536000, immutable');
  assert.equal(asset.body.toString(), script);
  const again = await get('/', { 'if-none-match': page.headers.etag! });
  assert.deepEqual([again.status, again.body.length], [304, 0]);
  assert.equal((await get('/icon.svg')).headers['cache-control'], 'no-cache');
  const head = await get('/assets/index-B1a2c3d4.js', {}, 'HEAD');
  assert.deepEqual([head.status, head.body.length, head.headers['content-length']], [200, 0, String(script.length)]);
});

test('files are compressed as the browser can read it', async (t) => {
  const { get } = await serving(t);
  const as = (accepted: string) => get('/assets/index-B1a2c3d4.js', { 'accept-encoding': accepted });
  const brotli = await as('gzip, deflate, br, zstd');
  assert.equal(brotli.headers['content-encoding'], 'br');
  assert.equal(brotliDecompressSync(brotli.body).toString(), script);
  const gzip = await as('gzip;q=0.5, br;q=0');
  assert.equal(gzip.headers['content-encoding'], 'gzip');
  assert.equal(gunzipSync(gzip.body).toString(), script);
  assert.equal((await as('identity')).headers['content-encoding'], undefined);
  for (const { headers } of [brotli, gzip]) assert.equal(headers.vary, 'Accept-Encoding');
});

test('paths of the console are its page; what is not there is 404; nothing else can be reached', async (t) => {
  const { get, folder } = await serving(t);
  writeFileSync(join(folder, '..', 'secret-of-the-test.txt'), 'secret');
  t.after(() => rmSync(join(folder, '..', 'secret-of-the-test.txt')));
  for (const path of ['/runs/projects/default/first', '/compare', '/index.html'])
    assert.match((await get(path)).body.toString(), /<title>console/, path);
  for (const path of [
    '/assets/gone.js',
    '/../secret-of-the-test.txt',
    '/assets/../../secret-of-the-test.txt',
    '/..%2fsecret-of-the-test.txt',
    '/assets/index-B1a2c3d4.js.map',
  ])
    assert.equal((await get(path)).status, 404, path);
  assert.equal((await get('/openapi.json')).body.toString(), '{"openapi":"3.1.0"}');
});

test('without a build the page says what to do, and a build is found without a restart', async (t) => {
  const { get, write } = await serving(t, false);
  const page = await get('/');
  assert.equal(page.status, 503);
  assert.match(page.body.toString(), /The console was not built/);
  write();
  assert.match((await get('/')).body.toString(), /<title>console/);
});

test('the address of Grafana, which everybody sees, holds no credentials, and its refusal does not show them', () => {
  const parsed = (grafana: string) => gatewayConfig.parse({ argv: ['--grafana', grafana] }).grafana;
  for (const address of ['', 'http://grafana:3000', 'https://[::1]/grafana/']) assert.equal(parsed(address), address);
  for (const address of [
    'http://admin:secret@grafana',
    'http://:secret@grafana:3000/',
    'https://secret@grafana/path',
    'http://admin:se/secret@grafana',
    'http://admin:80/secret@grafana',
  ])
    assert.throws(
      () => parsed(address),
      (error: unknown) => {
        assert.ok(error instanceof InvalidArgument);
        assert.match(error.message, /--grafana.*without a user, a password/s);
        assert.doesNotMatch(JSON.stringify([error.message, error.violations]), /secret/);
        return true;
      },
      address,
    );
  for (const address of ['grafana:3000', 'ftp://grafana', 'http://grafana/?token=a', 'http://grafana:port', 'http://'])
    assert.throws(() => parsed(address), InvalidArgument, address);
});
