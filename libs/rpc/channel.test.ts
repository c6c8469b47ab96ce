/** Calls over every kind of address, with and without a proxy, to real servers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect as connectSocket, createServer as createTcpServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, test } from 'node:test';
import { DeadlineExceeded, InvalidArgument, Unavailable } from '#errors/errors.js';
import { silentLogger } from '#telemetry/logger.js';
import { createRegistry } from '#telemetry/metrics.js';
import { startAdminServer } from './admin-server.js';
import { connect } from './client.js';
import { type HandlersOf, serverStream, service, unary } from './handlers.js';
import type { Environment } from './proxy.js';
import { createServer } from './server.js';

const json = {
  requestSerialize: (m: { name: string }) => Buffer.from(JSON.stringify(m)),
  requestDeserialize: (b: Buffer) => (b.length === 0 ? { name: '' } : (JSON.parse(b.toString()) as { name: string })),
  responseSerialize: (m: { name: string }) => Buffer.from(JSON.stringify(m)),
  responseDeserialize: (b: Buffer) => JSON.parse(b.toString()) as { name: string },
};
const definition = {
  getOne: { path: '/test.v1.TestService/GetOne' as const, requestStream: false as const, responseStream: false as const, ...json },
  watch: { path: '/test.v1.TestService/Watch' as const, requestStream: false as const, responseStream: true as const, ...json },
};
const handlers: HandlersOf<typeof definition> = {
  getOne: unary(async (request) => request),
  watch: serverStream(async function* (request) {
    yield request;
  }),
};
const names = { getOne: { name: 'text' }, watch: { name: 'text' } } as const;

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function serve(host: string): Promise<number> {
  const registry = createRegistry({ service: 'test', version: '0', process: false });
  const server = createServer({
    services: [service(definition, names, handlers)],
    host,
    registry,
    logger: silentLogger(),
    reflection: false,
  });
  open.push(server);
  await server.start();
  return server.port;
}

function client(address: string, env: Environment = {}) {
  const c = connect({ service: definition }, address, { env, retry: { attempts: 1 } });
  open.push(c);
  return c;
}

const in5s = { timeoutMs: 5000 };
const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === 'IPv6'));

async function listening(server: ReturnType<typeof createTcpServer>): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {}).on('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return (server.address() as AddressInfo).port;
}

/** An HTTP proxy that answers CONNECT with `status`; 200: to the port on this machine, whatever host is asked for. */
async function startProxy(status = 200) {
  const asked: { target: string | undefined; authorization: string | undefined }[] = [];
  const server = createHttpServer().on('connect', ({ url, headers }, socket: Socket) => {
    asked.push({ target: url, authorization: headers['proxy-authorization'] });
    if (status !== 200) {
      socket.end(`HTTP/1.1 ${status} no\r\n\r\n`);
      return;
    }
    const there = connectSocket(Number(url?.split(':').at(-1)), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(there).pipe(socket);
    });
    there.on('error', () => socket.destroy());
    socket.on('close', () => there.destroy());
  });
  return { asked, port: await listening(server) };
}

test('names and addresses of both families are served and dialled', async (t) => {
  const hosts = hasIpv6 ? ['127.0.0.1', '::1', '[::1]', 'localhost'] : ['127.0.0.1', 'localhost'];
  if (!hasIpv6) t.diagnostic('this machine has no IPv6');
  for (const host of hosts) {
    const port = await serve(host);
    const addresses = { '127.0.0.1': ['127.0.0.1', 'localhost'], localhost: ['127.0.0.1', 'localhost'] }[host] ?? ['[::1]'];
    for (const address of [...addresses.map((name) => `${name}:${port}`), `${addresses[0]}:${port},${addresses[0]}:${port}`])
      assert.deepEqual(await client(address).getOne({ name: 'x' }, in5s), { name: 'x' }, `${host} as ${address}`);
    const registry = createRegistry({ service: 'test', version: '0', process: false });
    const admin = await startAdminServer({ host, registry, isReady: () => true });
    open.push(admin);
    for (const address of addresses) assert.equal((await fetch(`http://${address}:${admin.port}/readyz`)).status, 200);
  }
});

test('a host to listen on that is no host is refused', async () => {
  for (const host of ['http://127.0.0.1', '127.0.0.1:7013', 'localhost/x', '[::1]:7013'])
    await assert.rejects(serve(host), (error) => error instanceof InvalidArgument && error.violations[0]?.field === 'host', host);
});

test('a service elsewhere is reached through the proxy, with its credentials; one of this machine and of no_proxy is not', async () => {
  const port = await serve('127.0.0.1');
  const proxy = await startProxy();
  for (const variable of ['grpc_proxy', 'https_proxy', 'HTTP_PROXY']) {
    const env = { [variable]: `http://me:se%3Acret@127.0.0.1:${proxy.port}` };
    // A host of its own, since connections with equal options are shared.
    const host = `${variable.split('_')[0]}.invalid:${port}`;
    const far = client(host, env);
    assert.deepEqual(await far.getOne({ name: variable }, in5s), { name: variable });
    for await (const one of far.watch({ name: 'w' }, in5s)) assert.equal(one.name, 'w');
    assert.deepEqual(proxy.asked.splice(0), [{ target: host, authorization: `Basic ${Buffer.from('me:se:cret').toString('base64')}` }]);
    for (const near of [`127.0.0.1:${port}`, `localhost:${port}`, `127.0.0.1:${port},localhost:${port}`, `ipv4:127.0.0.1:${port}`])
      assert.deepEqual(await client(near, env).getOne({ name: 'n' }, in5s), { name: 'n' });
    const listed = client(host, { ...env, NO_PROXY: '.invalid' });
    await assert.rejects(listed.getOne({ name: 'd' }, in5s), (error) => error instanceof Unavailable && !/proxy/.test(error.message));
    assert.equal(proxy.asked.length, 0);
  }
});

test('the variables of the process are read', async () => {
  const port = await serve('127.0.0.1');
  process.env.http_proxy = 'http://127.0.0.1:9';
  try {
    const c = connect({ service: definition }, `localhost:${port}`);
    open.push(c);
    assert.deepEqual(await c.getOne({ name: 'x' }, in5s), { name: 'x' });
  } finally {
    delete process.env.http_proxy;
  }
});

test('a proxy that fails is named with the address and the reason, without its credentials', async () => {
  const refused = await startProxy(403);
  const wantsPassword = await startProxy(407);
  const resets = await listening(createTcpServer((socket) => socket.destroy()));
  const cases: readonly (readonly [number | string, RegExp])[] = [
    [refused.port, /HTTP status 403/],
    [wantsPassword.port, /HTTP status 407/],
    [resets, /socket hang up|ECONNRESET/],
    [1, /ECONNREFUSED/],
  ];
  for (const [index, [port, reason]] of cases.entries())
    for (const call of ['getOne', 'watch'] as const) {
      const far = client(`data-${index}.invalid:7011`, { https_proxy: `http://me:secret@127.0.0.1:${port}` });
      const result = call === 'getOne' ? far.getOne({ name: 'x' }, in5s) : far.watch({ name: 'x' }, in5s)[Symbol.asyncIterator]().next();
      await assert.rejects(result, (error) => {
        assert.ok(error instanceof Unavailable, String(error));
        assert.match(error.message, /data-\d\.invalid:7011 through the proxy http:\/\/127\.0\.0\.1:\d+ \(https_proxy\)/);
        assert.match(error.message, reason);
        assert.match(error.message, /no_proxy/);
        assert.doesNotMatch(error.message, /secret|undefined/);
        return true;
      });
    }
  const silent = await listening(createTcpServer(() => {}));
  await assert.rejects(
    client('data.invalid:7011', { http_proxy: `http://127.0.0.1:${silent}` }).getOne({ name: 'x' }, { timeoutMs: 300 }),
    (error) => error instanceof DeadlineExceeded && /data\.invalid:7011 through the proxy/.test(error.message),
  );
});

test('without a proxy, the address that cannot be reached is named', async () => {
  await assert.rejects(client('127.0.0.1:1').getOne({ name: 'x' }, in5s), (error) => {
    assert.match((error as Error).message, /GetOne at 127\.0\.0\.1:1 .*ECONNREFUSED/s);
    assert.doesNotMatch((error as Error).message, /undefined|proxy/);
    return error instanceof Unavailable;
  });
});

test('several addresses are not sent through one proxy', () => {
  const env = { http_proxy: 'http://127.0.0.1:9' };
  assert.throws(() => client('10.0.0.1:1,10.0.0.2:1', env), /list all of these hosts in no_proxy/);
  client('10.0.0.1:1,10.0.0.2:1', { ...env, no_proxy: '10.0.0.0/24' });
});
