/** Services whose certificates and authorities are replaced while they run: real files, handshakes and streams. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { InvalidArgument, Unavailable } from '#errors/errors.js';
import { silentLogger } from '#telemetry/logger.js';
import { type Authority, makeAuthority, type Pair, SecretMount } from '../../../test/support/certificates.js';
import { numberMessages } from '../../../test/support/number-messages.js';
import { noOpenssl } from '../../../test/support/openssl.js';
import { until } from '../../../test/support/until.js';
import { type ConnectOptions, connect } from '../client.js';
import { defineConfig } from '../config.js';
import { service, unary, watchStream } from '../handlers.js';
import { serviceOptions } from '../service-options.js';
import { startService } from '../start-service.js';
import { callerTls } from './caller-tls.js';

const options = { skip: noOpenssl, timeout: 60_000 };
// Methods that the policy knows, for requests without a project: where certificates are demanded, others are refused.
const definition = {
  get: {
    path: '/dropstream.v1.SchedulerService/PreviewSchedule' as const,
    requestStream: false as const,
    responseStream: false as const,
    ...numberMessages,
  },
  watch: {
    path: '/dropstream.v1.SchedulerService/GetRates' as const,
    requestStream: false as const,
    responseStream: true as const,
    ...numberMessages,
  },
};

const config = defineConfig('test', serviceOptions({ port: 0 }));

async function serve(t: TestContext, ...argv: string[]) {
  const running = await startService({
    name: 'test',
    config: config.parse({ argv: [...argv, '--drain-ms', '0'], env: {} }),
    logger: silentLogger(),
    processMetrics: false,
    build: () => ({
      services: [
        service(
          definition,
          { get: {}, watch: {} },
          {
            get: unary((message) => message),
            watch: watchStream(async function* (message, { signal }) {
              yield message;
              if (!signal.aborted) await once(signal, 'abort');
              throw signal.reason;
            }),
          },
        ),
      ],
    }),
  });
  t.after(() => running.close());
  const metric = async (name: string): Promise<number | undefined> =>
    (await running.registry.getSingleMetric(name)!.get()).values[0]?.value;
  return { ...running, address: `localhost:${running.port}`, metric };
}

const soon = { timeoutMs: 10_000 };

function caller(t: TestContext, address: string, tls: ConnectOptions['tls']) {
  const client = connect({ service: definition }, address, { retry: { attempts: 1 }, ...(tls && { tls }) });
  t.after(() => client.close());
  return {
    get: async () => (await client.get({ n: 7 }, soon)).n,
    /** Resolves when the stream has begun; `ended` is why it ended. */
    watch: async () => {
      const leave = new AbortController();
      t.after(() => leave.abort());
      let begun = (): void => {};
      const first = new Promise<void>((resolve) => (begun = resolve));
      const state: { ended?: unknown } = {};
      const end = (why: unknown): void => {
        state.ended ??= why ?? 'its end';
      };
      (async () => {
        for await (const _ of client.watch({ n: 1 }, { signal: leave.signal })) begun();
      })().then(end, end);
      await first;
      return state;
    },
  };
}

/** Whether a new connection gets an answer. */
const connects = async (t: TestContext, address: string, tls: ConnectOptions['tls']): Promise<boolean> =>
  caller(t, address, tls)
    .get()
    .then(
      () => true,
      (error) => {
        assert.ok(error instanceof Unavailable, String(error));
        return false;
      },
    );

const filesOf = ({ certificate, key }: Pair, clients?: Buffer) => ({
  'tls.crt': certificate,
  'tls.key': key,
  ...(clients && { 'clients.crt': clients }),
});

function mountOf(t: TestContext, files: Record<string, Buffer | string>) {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-rotation-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const mount = new SecretMount(folder, files);
  const argv = ['--tls-cert', mount.at('tls.crt'), '--tls-key', mount.at('tls.key')];
  return { folder, mount, argv: 'clients.crt' in files ? [...argv, '--tls-client-ca', mount.at('clients.crt')] : argv };
}

test('a new server certificate counts for new connections, and streams of the others go on', options, async (t) => {
  const [one, two] = [makeAuthority(t, 'one'), makeAuthority(t, 'two')];
  const { mount, argv } = mountOf(t, filesOf(one.issue('server')));
  const { address, metric } = await serve(t, ...argv);
  const [trustsOne, trustsTwo] = [{ authority: one.certificate }, { authority: two.certificate }];
  const known = caller(t, address, trustsOne);
  const watching = await known.watch();
  assert.equal(await connects(t, address, trustsTwo), false);
  mount.replace(filesOf(two.issue('server', 7200)));
  await until('the new certificate', () => connects(t, address, trustsTwo));
  assert.equal(await connects(t, address, trustsOne), false);
  assert.equal(await known.get(), 7, 'a connection that exists goes on');
  assert.equal(watching.ended, undefined);
  const expiry = await metric('dropstream_tls_expiry_timestamp_seconds');
  assert.ok(expiry !== undefined && expiry > Date.now() / 1000 && expiry < Date.now() / 1000 + 7201);
});

test('files that cannot be used leave the last good ones in use', options, async (t) => {
  const one = makeAuthority(t, 'one');
  const [first, other] = [one.issue('server'), one.issue('other')];
  const { folder, mount, argv } = mountOf(t, filesOf(first));
  const { address, metric } = await serve(t, ...argv);
  const trusts = { authority: one.certificate };
  const unusable = () => metric('dropstream_tls_files_unusable');
  const bad: Record<string, Record<string, Buffer | string>> = {
    'of another key': filesOf({ ...first, key: other.key }),
    expired: filesOf(one.issue('server', -60)),
    'no certificate': { 'tls.crt': 'nothing', 'tls.key': first.key },
    'no key': { 'tls.crt': first.certificate },
  };
  for (const [name, files] of Object.entries(bad)) {
    mount.replace(files);
    await until(`the fault of files that are ${name}`, async () => (await unusable()) === 1);
    assert.equal(await connects(t, address, trusts), true, name);
    mount.replace(filesOf(first));
    await until('good files', async () => (await unusable()) === 0);
  }
  // Plain files in place of the links, the key first: what fits together is used, whatever the way.
  for (const name of ['tls.key', 'tls.crt']) rmSync(join(folder, name));
  writeFileSync(join(folder, 'tls.key'), other.key);
  await until('half of a pair', async () => (await unusable()) === 1);
  writeFileSync(join(folder, 'tls.crt'), other.certificate);
  await until('the whole pair', async () => (await unusable()) === 0);
  assert.equal(await connects(t, address, trusts), true);
});

test('callers of an authority that was removed are refused, on old connections too; all others go on', options, async (t) => {
  const [servers, old, next] = [makeAuthority(t, 'servers'), makeAuthority(t, 'old'), makeAuthority(t, 'next')];
  const server = servers.issue('server');
  const { mount, argv } = mountOf(t, filesOf(server, Buffer.concat([old.certificate, next.certificate])));
  const { address, port } = await serve(t, ...argv);
  const shows = (authority: Authority, name: string) => ({ authority: servers.certificate, ...authority.issue(name) });
  const [oldTls, nextTls] = [shows(old, 'a'), shows(next, 'b')];
  const [oldCaller, nextCaller] = [caller(t, address, oldTls), caller(t, address, nextTls)];
  // The certificates of these two are of authorities below those.
  const below = await Promise.all([old, next].map((parent) => caller(t, address, shows(makeAuthority(t, 'below', parent), 'd')).watch()));
  // This one has been given a certificate of the next authority, and has not connected with it yet.
  const files = mountOf(t, { 'ca.crt': servers.certificate, ...filesOf(old.issue('c')) }).mount;
  const paths = { tlsCa: files.at('ca.crt'), tlsCert: files.at('tls.crt'), tlsKey: files.at('tls.key') };
  const movingCaller = caller(t, address, callerTls(paths));
  const [oldWatch, nextWatch, movingWatch] = [await oldCaller.watch(), await nextCaller.watch(), await movingCaller.watch()];
  const resumed = await sessionWith(port, oldTls);
  files.replace({ 'ca.crt': servers.certificate, ...filesOf(next.issue('c')) });

  mount.replace(filesOf(server, next.certificate));
  await until('the end of the old stream', () => oldWatch.ended !== undefined);
  const expected = /whose client certificate is of an authority that does not count any more/;
  assert.ok(oldWatch.ended instanceof Unavailable && expected.test(oldWatch.ended.message), String(oldWatch.ended));
  await assert.rejects(oldCaller.get(), Unavailable);
  assert.equal(await connects(t, address, oldTls), false);
  assert.equal(await accepts(port, { ca: servers.certificate, session: resumed }), false, 'a resumed session is no way around it');
  await until('the end of the stream of an authority below', () => below[0]!.ended !== undefined);
  assert.deepEqual([nextWatch.ended, below[1]!.ended], [undefined, undefined]);
  assert.equal(await nextCaller.get(), 7);
  await until('the other connection', () => movingWatch.ended !== undefined);
  assert.equal(await until('the certificate from the file', () => movingCaller.get().catch(() => false as const)), 7);
  assert.deepEqual([nextWatch.ended, below[1]!.ended], [undefined, undefined]);
});

test('a client certificate that expires ends its connection, and a server certificate that expires the readiness', options, async (t) => {
  const one = makeAuthority(t, 'one');
  const { argv } = mountOf(t, filesOf(one.issue('server', 8), one.certificate));
  const { address, adminPort } = await serve(t, ...argv);
  const watching = await caller(t, address, { authority: one.certificate, ...one.issue('short', 5) }).watch();
  const ready = async () => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status;
  assert.equal(await ready(), 200);
  await until('the end of the stream', () => watching.ended !== undefined, { looks: 3000 });
  assert.match(String(watching.ended), /whose client certificate has expired/);
  await until('the end of readiness', async () => (await ready()) === 503, { looks: 3000 });
});

test('the admin server of a service with TLS is under TLS, except on loopback and where plain text is allowed', options, async (t) => {
  const [one, clients] = [makeAuthority(t, 'one'), makeAuthority(t, 'clients')];
  const { mount, argv } = mountOf(t, filesOf(one.issue('server'), clients.certificate));
  const { adminPort } = await serve(t, ...argv, '--admin-host', '0.0.0.0');
  const get = (path: string, tls: ConnectionOptions): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: adminPort, path, ...tls }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end();
    });
  const trusts = { ca: one.certificate };
  const { certificate: cert, key } = clients.issue('prometheus');
  await assert.rejects(fetch(`http://127.0.0.1:${adminPort}/readyz`));
  assert.deepEqual([await get('/livez', trusts), await get('/readyz', trusts)], [200, 200], 'probes of Kubernetes have no certificate');
  assert.deepEqual([await get('/metrics', trusts), await get('/metrics', { ...trusts, cert, key })], [403, 200]);
  const two = makeAuthority(t, 'two');
  mount.replace(filesOf(two.issue('server'), clients.certificate));
  await until('the new certificate', () => get('/metrics', { ca: two.certificate, cert, key }).catch(() => false as const));

  const allowed = await serve(t, ...argv, '--admin-host', '0.0.0.0', '--allow-remote');
  assert.equal((await fetch(`http://127.0.0.1:${allowed.adminPort}/readyz`)).status, 200);
  await assert.rejects(serve(t, '--admin-host', '0.0.0.0'), InvalidArgument);
});

/** A TLS session of a connection that was admitted. */
async function sessionWith(port: number, { authority: ca, certificate: cert, key }: { authority: Buffer } & Pair): Promise<Buffer> {
  const socket = connectTls({ host: 'localhost', port, ca, cert, key, ALPNProtocols: ['h2'] });
  socket.resume();
  const [session] = (await once(socket, 'session')) as [Buffer];
  socket.destroy();
  return session;
}

/** Whether the server speaks HTTP/2 on a connection: its settings are what it sends first. */
async function accepts(port: number, tls: ConnectionOptions): Promise<boolean> {
  const socket = connectTls({ host: 'localhost', port, ALPNProtocols: ['h2'], ...tls });
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0');
  try {
    await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => Promise.reject(new Error('closed')))]);
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
