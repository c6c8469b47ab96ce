import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, test } from 'node:test';
import { ObjectNotFound, StoreUnavailable } from './object-store.js';
import { InvalidStoreUri, openStore } from './open-store.js';
import { isReachable, type LookUpAll } from './reachable-addresses.js';

const env = { DROPSTREAM_S3_ACCESS_KEY: 'a', DROPSTREAM_S3_SECRET_KEY: 'b'.repeat(8) };
const limits = { attempts: 1, requestTimeoutMs: 5000 };

test('addresses of metadata services and those that mean no machine are not reachable, in whatever form', () => {
  for (const address of [
    ...['169.254.169.254', '169.254.0.1', '0.0.0.0', '0.1.2.3', '224.0.0.1', '255.255.255.255', '100.100.100.200', '192.0.0.192'],
    ...['::', 'fe80::1', 'fe80::1%eth0', 'ff02::1', 'fd00:ec2::254', 'fd20:ce::254'],
    ...['::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '0:0:0:0:0:ffff:a9fe:a9fe', '::169.254.169.254', '::ffff:0.0.0.0'],
    ...['64:ff9b::169.254.169.254', '2002:a9fe:a9fe::1', 'no address', '', '169.254.169.254.evil.example'],
  ])
    assert.equal(isReachable(address), false, address);
  for (const address of [
    '127.0.0.1',
    '::1',
    '10.0.0.1',
    '192.168.1.1',
    '172.16.0.1',
    '8.8.8.8',
    'fd00::1',
    '2600:1f00::1',
    '::ffff:10.0.0.1',
  ])
    assert.equal(isReachable(address), true, address);
});

test('an endpoint that is such an address is refused at once, however it is written', async () => {
  for (const host of [
    '169.254.169.254',
    '0xa9fea9fe',
    '2852039166',
    '0251.0376.0251.0376',
    '[::ffff:169.254.169.254]',
    '[fd00:ec2::254]',
    '0',
  ])
    await assert.rejects(openStore(`s3://bucket/p?endpoint=http://${host}:80`, { env }), InvalidStoreUri, host);
});

/** Answers every question for an address with the next of `answers`, and the last one from then on. */
async function nameServer(answers: readonly (readonly string[])[]): Promise<{ port: number; asked: () => number }> {
  const socket = createSocket('udp4');
  let asked = 0;
  socket.on('message', (question, { port, address }) => {
    // The header has 12 bytes, then come the name and its type. Other types than A have no answer.
    const end = question.indexOf(0, 12) + 5;
    const isA = question.readUInt16BE(end - 4) === 1;
    const given = isA ? answers[Math.min(asked++, answers.length - 1)]! : [];
    const head = Buffer.from(question.subarray(0, 12));
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(given.length, 6);
    head.writeUInt32BE(0, 8);
    const records = given.map((one) => Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...one.split('.').map(Number)]));
    socket.send(Buffer.concat([head, question.subarray(12, end), ...records]), port, address);
  });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  after(() => socket.close());
  return { port: socket.address().port, asked: () => asked };
}

/** Looks names up as the name server says, without a cache, as an attacker's name with a short time to live would be. */
function lookUpAt(port: number): LookUpAll {
  const resolver = new Resolver({ timeout: 2000, tries: 1 });
  resolver.setServers([`127.0.0.1:${port}`]);
  return (host, _, done) =>
    resolver.resolve4(host, (error, addresses) =>
      done(
        error,
        (addresses ?? []).map((address) => ({ address, family: 4 })),
      ),
    );
}

/** Answers every request with 404 and closes the connection, so that each request needs another one. */
async function httpServer(location?: string): Promise<{ port: number; requests: () => number }> {
  let requests = 0;
  const server = createServer((_, response) => {
    requests++;
    const redirect = location === undefined ? {} : { location };
    response.writeHead(location === undefined ? 404 : 307, { connection: 'close', 'content-length': 0, ...redirect }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => server.close());
  return { port: (server.address() as AddressInfo).port, requests: () => requests };
}

/** A store whose name is asked of the name server on the port. */
async function storeNamed(port: number, nameServerPort: number) {
  const store = await openStore(`s3://bucket/p?endpoint=http://store.example:${port}`, {
    env,
    probe: false,
    limits: { ...limits, lookUp: lookUpAt(nameServerPort) },
  });
  after(() => store.close());
  return store;
}

test('a name that changes its address to that of a metadata service is not connected to any more', async () => {
  const web = await httpServer();
  const names = await nameServer([['127.0.0.1'], ['169.254.169.254'], ['0.0.0.0']]);
  const store = await storeNamed(web.port, names.port);
  await assert.rejects(store.get('a/b'), /b/);
  assert.deepEqual([names.asked(), web.requests()], [1, 1]);
  for (const wanted of [/169\.254\.169\.254, which no store may have/, /0\.0\.0\.0, which no store may have/])
    await assert.rejects(store.get('a/b'), (error: Error) => error instanceof StoreUnavailable && wanted.test(error.message));
  // 0.0.0.0 would have led to the server.
  assert.deepEqual([names.asked(), web.requests()], [3, 1]);
});

test('of several addresses, only those that may be reached are tried', async () => {
  const web = await httpServer();
  const names = await nameServer([['169.254.169.254', '127.0.0.1']]);
  const store = await storeNamed(web.port, names.port);
  await assert.rejects(store.get('a/b'), /b/);
  assert.equal(web.requests(), 1);
});

test('a redirection is not followed', async () => {
  const elsewhere = await httpServer();
  const web = await httpServer(`http://127.0.0.1:${elsewhere.port}/bucket/p/a/b`);
  const store = await openStore(`s3://bucket/p?endpoint=http://127.0.0.1:${web.port}`, { env, probe: false, limits });
  after(() => store.close());
  for (const work of [() => store.get('a/b'), () => store.head('a/b'), () => store.put('a/b', Buffer.from('x')), () => store.list('a/')])
    await assert.rejects(work(), StoreUnavailable);
  assert.equal(elsewhere.requests(), 0);
  assert.ok(web.requests() > 0);
});

test('a name of this machine is looked up as the system does', async () => {
  const web = await httpServer();
  const store = await openStore(`s3://bucket/p?endpoint=http://localhost:${web.port}`, { env, probe: false, limits });
  after(() => store.close());
  await assert.rejects(store.get('a/b'), ObjectNotFound);
  assert.equal(web.requests(), 1);
});
