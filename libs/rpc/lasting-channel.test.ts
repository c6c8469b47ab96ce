/** Clients and servers whose peers hold connections and say nothing, as a frozen process and some networks do. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket, createServer as createSocketServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { service as health } from 'grpc-health-check';
import { Unavailable } from '#errors/errors.js';
import { silentLogger } from '#telemetry/logger.js';
import { createRegistry } from '#telemetry/metrics.js';
import { until } from '../../test/support/until.js';
import { type ConnectOptions, connect } from './client.js';
import { createServer } from './server.js';

interface Method {
  readonly requestDeserialize: (bytes: Buffer) => { service: string };
  readonly responseDeserialize: (bytes: Buffer) => { status: string };
}
const HealthClient = {
  service: health as unknown as { readonly Check: Method; readonly Watch: Method & { readonly responseStream: true } },
};

/** Without a deadline. */
const forEver = (): { signal: AbortSignal } => ({ signal: new AbortController().signal });

interface Listening {
  readonly server: Server;
  readonly port: number;
  /** Those that it has accepted. */
  readonly sockets: Socket[];
}

async function listen(t: TestContext, port: number, accept: (socket: Socket) => void): Promise<Listening> {
  const sockets: Socket[] = [];
  const server = createSocketServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    accept(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port, sockets };
}

const listenSilently = (t: TestContext, port = 0): Promise<Listening> => listen(t, port, (socket) => void socket.resume());

async function serve(t: TestContext, port = 0): Promise<number> {
  const registry = createRegistry({ service: 'test', version: '0', process: false });
  const server = createServer({ services: [], registry, logger: silentLogger(), reflection: false, port });
  await server.start();
  t.after(() => server.close());
  return server.port;
}

function client(t: TestContext, port: number, options: ConnectOptions) {
  const connected = connect(HealthClient, `127.0.0.1:${port}`, { retry: { attempts: 1 }, ...options });
  t.after(() => connected.close());
  return connected;
}

test('a peer that says nothing holds no call, and is used again when it speaks', { timeout: 30_000 }, async (t) => {
  const silent = await listenSilently(t);
  const { Check, Watch } = client(t, silent.port, { connectMs: 300 });
  const watching = (async () => {
    for await (const _ of Watch({}, forEver()));
  })();
  const expected = (error: Error) => error instanceof Unavailable && /where no connection came about within 300 ms/.test(error.message);
  await Promise.all([assert.rejects(watching, expected), assert.rejects(Check({}, forEver()), expected)]);
  assert.equal(silent.sockets.length, 1);
  silent.server.close();
  await serve(t, silent.port);
  assert.equal((await Check({}, forEver())).status, 'SERVING');
});

test('an address that refused connections and then says nothing does not fail calls for ever', { timeout: 30_000 }, async (t) => {
  const { port, server } = await listenSilently(t);
  server.close();
  await once(server, 'close');
  const { Check } = client(t, port, { connectMs: 300, channel: { 'grpc.initial_reconnect_backoff_ms': 100 } });
  await assert.rejects(Check({}, forEver()), Unavailable);
  const silent = await listenSilently(t, port);
  await until('the next connection', async () => {
    await assert.rejects(Check({}, forEver()), Unavailable);
    return silent.sockets.length > 0;
  });
  // The silent connection stays open.
  silent.server.close();
  await serve(t, port);
  await until('an answer', () =>
    Check({}, forEver()).then(
      ({ status }) => status === 'SERVING',
      () => false,
    ),
  );
});

test('a watch over a connection that falls silent ends', { timeout: 30_000 }, async (t) => {
  const port = await serve(t);
  const onward: Socket[] = [];
  const between = await listen(t, 0, (socket) => {
    const other = connectSocket(port, '127.0.0.1');
    onward.push(other);
    other.on('error', () => {});
    t.after(() => other.destroy());
    socket.pipe(other).pipe(socket);
  });
  const { Watch } = client(t, between.port, { channel: { 'grpc.keepalive_time_ms': 100, 'grpc.keepalive_timeout_ms': 200 } });
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { status } of Watch({}, forEver())) {
      seen.push(status);
      for (const socket of [...between.sockets, ...onward]) socket.unpipe().pause();
    }
  })();
  await assert.rejects(watching, Unavailable);
  assert.deepEqual(seen, ['SERVING']);
});

test('a server does not wait for peers that say nothing when it closes', { timeout: 30_000 }, async (t) => {
  const registry = createRegistry({ service: 'test', version: '0', process: false });
  const server = createServer({ services: [], registry, logger: silentLogger(), reflection: false });
  await server.start();
  const peer = connectSocket({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => peer.destroy());
  await once(peer, 'connect');
  const emptySettings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  peer.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), emptySettings]));
  // The server's settings show that it has taken the connection.
  await once(peer, 'data');
  peer.pause();
  await server.drain(0);
});
