import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials, loadPackageDefinition, Metadata, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { protoPath } from 'grpc-health-check';
import * as errors from '#errors/errors.js';
import { metricsPage } from '#telemetry/exposition.js';
import { createLogger, silentLogger } from '#telemetry/logger.js';
import { createRegistry } from '#telemetry/metrics.js';
import { projectKey } from './authorize.js';
import { connect } from './client.js';
import { type CallContext, type HandlersOf, serverStream, service, unary, watchStream } from './handlers.js';
import type { RequestNames } from './request-names.js';
import { createServer, type RpcServer, type ServerOptions } from './server.js';
import { fromServiceError, internalMessage } from './status.js';

// A service over JSON that only this test uses, so that it depends on no proto.
interface Message {
  name: string;
  n: number;
  requestId?: string;
}
const json = {
  requestSerialize: (m: Message) => Buffer.from(JSON.stringify(m)),
  requestDeserialize: (b: Buffer): Message => (b.length === 0 ? { name: '', n: 0 } : (JSON.parse(b.toString()) as Message)),
  responseSerialize: (m: Message) => Buffer.from(JSON.stringify(m)),
  responseDeserialize: (b: Buffer): Message => JSON.parse(b.toString()) as Message,
};
const definition = {
  getOne: { path: '/test.v1.TestService/GetOne' as const, requestStream: false as const, responseStream: false as const, ...json },
  change: { path: '/test.v1.TestService/Change' as const, requestStream: false as const, responseStream: false as const, ...json },
  chunks: { path: '/test.v1.TestService/Chunks' as const, requestStream: false as const, responseStream: true as const, ...json },
  watch: { path: '/test.v1.TestService/Watch' as const, requestStream: false as const, responseStream: true as const, ...json },
};
const TestClient = { service: definition };

const echo: HandlersOf<typeof definition> = {
  getOne: unary(async (request) => request),
  change: unary(async (request) => request),
  chunks: serverStream(async function* (request) {
    for (let i = 0; i < request.n; i++) yield { name: request.name, n: i };
  }),
  watch: watchStream(async function* (request, ctx) {
    yield request;
    await new Promise((_, reject) => ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason), { once: true }));
  }),
};

const text = { name: 'text', requestId: 'text' } as const;
const noNames = { getOne: text, change: text, chunks: text, watch: text };

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function serve(
  handlers: Partial<typeof echo> = {},
  options: Partial<ServerOptions> = {},
  names: RequestNames<typeof definition> = noNames,
): Promise<RpcServer> {
  const server = createServer({
    services: [service(definition, names, { ...echo, ...handlers })],
    registry: createRegistry({ service: 'test', version: '0', process: false }),
    logger: silentLogger(),
    reflection: false,
    ...options,
  });
  open.push(server);
  await server.start();
  return server;
}

function client(server: RpcServer, options: Parameters<typeof connect>[2] = {}) {
  const c = connect(TestClient, `127.0.0.1:${server.port}`, options);
  open.push(c);
  return c;
}

const in5s = { timeoutMs: 5000 };

test('a unary call and a stream respond; omitted fields have their default', async () => {
  const c = client(await serve());
  assert.deepEqual(await c.getOne({ name: 'x' }, in5s), { name: 'x', n: 0 });
  const seen: number[] = [];
  for await (const m of c.chunks({ n: 5 }, in5s)) seen.push(m.n);
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
});

test('the client catches what a handler throws; unknown errors are INTERNAL and logged', async () => {
  const lines: string[] = [];
  const thrown: Record<string, unknown> = {
    invalid: errors.invalid('n', 7, 'even'),
    missing: new errors.NotFound('thing', 'projects/p/things/t'),
    foreign: new RangeError('from storage'),
    secret: new Error('internal detail'),
  };
  const fail = (request: Message): never => {
    throw thrown[request.name];
  };
  const server = await serve(
    {
      change: unary(fail),
      chunks: serverStream(async function* (request) {
        yield request;
        fail(request);
      }),
    },
    {
      logger: createLogger({ service: 'test', destination: { write: (l) => lines.push(l) } }),
      mapError: (e) => (e instanceof RangeError ? new errors.ResourceExhausted(e.message, '3') : undefined),
    },
  );
  const c = client(server);
  const viaStream = async (name: string): Promise<void> => {
    for await (const m of c.chunks({ name }, in5s)) assert.equal(m.name, name);
  };
  for (const run of [(name: string) => c.change({ name }, in5s), viaStream]) {
    await assert.rejects(run('invalid'), (e) => e instanceof errors.InvalidArgument && e.violations[0]!.allowed === 'even');
    await assert.rejects(run('missing'), (e) => e instanceof errors.NotFound && e.resource === 'projects/p/things/t');
    await assert.rejects(run('foreign'), errors.ResourceExhausted);
    await assert.rejects(run('secret'), (e) => e instanceof errors.RemoteError && e.code === 13 && e.details === internalMessage);
  }
  assert.equal(lines.filter((l) => l.includes('internal detail')).length, 2);
  const call = lines.map((l) => JSON.parse(l)).find((l) => l.msg === 'call' && l.code === 'NOT_FOUND');
  assert.equal(call.method, 'test.v1.TestService/Change');
  assert.match(call.trace_id, /^[0-9a-f]{32}$/);
  assert.ok(call.ms >= 0);
});

test('every call needs a deadline or a signal', async () => {
  const c = client(await serve());
  assert.throws(() => c.getOne({}, {} as never), /needs timeoutMs or signal/);
  assert.throws(() => c.watch({}, { timeoutMs: 0 }), /above 0/);
});

test('a request that cannot be encoded is a TypeError', async () => {
  const c = client(await serve());
  const request = { n: 1n as unknown as number };
  await assert.rejects(c.getOne(request, in5s), (e) => e instanceof TypeError && /GetOne cannot be encoded/.test(e.message));
  await assert.rejects(c.chunks(request, in5s)[Symbol.asyncIterator]().next(), TypeError);
});

test('a deadline ends the call at the client and the work at the server', async () => {
  let reason: unknown;
  let note = (): void => {};
  const ended = new Promise<void>((resolve) => {
    note = resolve;
  });
  const server = await serve({
    change: unary((_, ctx) => {
      ctx.signal.addEventListener('abort', () => {
        reason = ctx.signal.reason;
        note();
      });
      return new Promise<Message>(() => {});
    }),
  });
  await assert.rejects(client(server).change({}, { timeoutMs: 100 }), errors.DeadlineExceeded);
  await ended;
  assert.ok(reason instanceof errors.DeadlineExceeded || reason instanceof errors.Cancelled);
});

test('a call without a deadline gets the server maximum', async () => {
  const server = await serve({ change: unary(() => new Promise<Message>(() => {})) }, { maxUnaryMs: 80 });
  await assert.rejects(client(server).change({}, { signal: new AbortController().signal }), errors.DeadlineExceeded);
});

test('leaving a stream or aborting its signal ends the generator at the server', async () => {
  const finished: string[] = [];
  const server = await serve({
    watch: watchStream(async function* (request, ctx) {
      try {
        for (let n = 0; ; n++) {
          yield { ...request, n };
          await sleep(5, undefined, { signal: ctx.signal });
        }
      } finally {
        finished.push(request.name);
      }
    }),
  });
  const c = client(server);
  for await (const m of c.watch({ name: 'left' }, in5s)) if (m.n === 2) break;
  const controller = new AbortController();
  await assert.rejects(async () => {
    for await (const m of c.watch({ name: 'aborted' }, { signal: controller.signal })) if (m.n === 2) controller.abort();
  }, errors.Cancelled);
  for (let i = 0; i < 200 && finished.length < 2; i++) await sleep(10);
  assert.deepEqual(finished.sort(), ['aborted', 'left']);
});

test('a slow reader holds the producer back', async () => {
  let produced = 0;
  const name = 'x'.repeat(256 * 1024);
  const server = await serve({
    chunks: serverStream(async function* () {
      for (; produced < 400; produced++) yield { name, n: produced };
    }),
  });
  const c = client(server);
  let received = 0;
  for await (const _ of c.chunks({}, { timeoutMs: 20_000 })) {
    received++;
    if (received === 1) {
      await sleep(300);
      // 100 MB would be sent; both windows, the reader's grpc-js buffers and our four messages hold far less.
      assert.ok(produced < 120, `${produced} messages ahead of a stopped reader`);
    }
  }
  assert.equal(received, 400);
});

test('UNAVAILABLE is retried for idempotent calls only', async () => {
  let calls = 0;
  const flaky = unary((request: Message) => {
    if (++calls < 3) throw new errors.Unavailable('the store', 5);
    return request;
  });
  const server = await serve({ getOne: flaky, change: flaky });
  const c = client(server, { retry: { initialMs: 1 } });
  assert.equal((await c.getOne({ n: 4 }, in5s)).n, 4);
  assert.equal(calls, 3);
  calls = 0;
  await assert.rejects(c.change({ n: 4 }, in5s), (e) => e instanceof errors.Unavailable && e.retryAfterMs === 5);
  assert.equal(calls, 1);
  calls = 0;
  assert.equal((await c.change({ n: 4, requestId: 'a' }, in5s)).n, 4);
  calls = -10;
  await assert.rejects(c.getOne({}, in5s), errors.Unavailable);
  assert.equal(calls, -6, 'four attempts');
});

test('a server that is not there is Unavailable', async () => {
  const server = await serve();
  const { port } = server;
  await server.close();
  const c = connect(TestClient, `127.0.0.1:${port}`, { retry: { attempts: 1 } });
  open.push(c);
  await assert.rejects(c.getOne({}, in5s), errors.Unavailable);
});

test('a caller bound to one project may not use another', async () => {
  const server = await serve({}, {}, { ...noNames, getOne: { name: 'run?', requestId: 'text' } });
  const c = client(server, { metadata: { [projectKey]: 'mine' } });
  await c.getOne({}, in5s);
  await c.getOne({ name: 'projects/mine/runs/a' }, in5s);
  await assert.rejects(
    c.getOne({ name: 'projects/other/runs/a' }, in5s),
    (e) => e instanceof errors.PermissionDenied && e.what === 'project other',
  );
});

test('a handler gets the names of its request parsed; a method without a declaration does not start', async () => {
  let seen: unknown;
  const see = unary((request: Message, { names, project }: CallContext) => {
    seen = { names, project };
    return request;
  });
  const names = { ...noNames, getOne: { name: 'run', requestId: 'text' } } as const;
  const c = client(await serve({ getOne: see }, {}, names));
  await c.getOne({ name: 'projects/p/runs/r' }, in5s);
  assert.deepEqual(seen, { names: { name: { kind: 'run', name: 'projects/p/runs/r', project: 'p', run: 'r' } }, project: 'p' });
  for (const name of ['', 'projects/p/runs/R'])
    await assert.rejects(c.getOne({ name }, in5s), (e) => e instanceof errors.InvalidArgument && e.violations[0]!.field === 'name');
  await assert.rejects(serve({}, {}, { ...noNames, watch: undefined } as never), /TestService\/Watch are not declared/);
});

test('a server for other machines needs identities, and TLS, or explicit flags', () => {
  const make = (options: Partial<ServerOptions>) =>
    createServer({
      services: [],
      registry: createRegistry({ service: 't', version: '0', process: false }),
      logger: silentLogger(),
      reflection: false,
      ...options,
    });
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org']) assert.throws(() => make({ host }), errors.InvalidArgument);
  for (const host of ['127.0.0.1', '::1', 'localhost']) make({ host });
  assert.throws(() => make({ host: '0.0.0.0', allowRemote: true }), /together with --identities, --tls-client-ca or --allow-anonymous/);
  make({ host: '0.0.0.0', allowRemote: true, allowAnonymous: true });
  make({ host: '0.0.0.0', allowRemote: true, identify: () => undefined });
  assert.throws(() => make({ allowAnonymous: true, identify: () => undefined }), /allow-anonymous is "true", must be left out/);
});

test('drain ends watches with UNAVAILABLE, lets other calls finish, and refuses new ones', async () => {
  let release = (): void => {};
  const held = new Promise<void>((r) => (release = r));
  const server = await serve({ change: unary(async (request) => held.then(() => request)) });
  const c = client(server, { retry: { attempts: 1 } });
  const inFlight = c.change({ n: 9 }, in5s);
  const watch = c.watch({ name: 'w' }, in5s)[Symbol.asyncIterator]();
  assert.equal((await watch.next()).value.name, 'w');
  const drained = server.drain(3000);
  await assert.rejects(
    async () => await watch.next(),
    (e) => e instanceof errors.Unavailable && e.retryAfterMs === 500,
  );
  release();
  assert.equal((await inFlight).n, 9);
  await drained;
  await assert.rejects(c.getOne({}, in5s), errors.Unavailable);
});

test('after the grace, calls that go on are ended', async () => {
  const server = await serve({ change: unary(() => new Promise<Message>(() => {})) });
  const c = client(server);
  const stuck = assert.rejects(c.change({}, in5s), errors.Unavailable);
  await sleep(50);
  await server.drain(50);
  await stuck;
});

test('health follows the server; metrics count calls of both sides', async () => {
  const registry = createRegistry({ service: 'test', version: '0', process: false });
  const server = await serve({}, { registry });
  const { grpc } = loadPackageDefinition(loadSync(protoPath)) as never as {
    grpc: { health: { v1: { Health: new (...a: unknown[]) => never } } };
  };
  const health = new grpc.health.v1.Health(`127.0.0.1:${server.port}`, credentials.createInsecure()) as unknown as {
    check(q: object, done: (e: ServiceError | null, r: { status: number }) => void): void;
    close(): void;
  };
  open.push(health);
  const check = (name: string) =>
    new Promise<number>((resolve, reject) => health.check({ service: name }, (e, r) => (e ? reject(e) : resolve(r.status))));
  assert.equal(await check(''), 1);
  server.setServing(false, 'test.v1.TestService');
  assert.equal(await check('test.v1.TestService'), 2);
  assert.equal(await check(''), 1);

  const c = client(server, { registry });
  await c.getOne({}, in5s);
  for await (const _ of c.chunks({ n: 3 }, in5s));
  const page = await registry.metrics();
  const labels = (method: string, type: string) => `{grpc_type="${type}",grpc_service="test.v1.TestService",grpc_method="${method}"`;
  assert.ok(page.includes(`grpc_server_handled_total${labels('GetOne', 'unary')},grpc_code="OK"} 1`));
  assert.ok(page.includes(`grpc_server_msg_sent_total${labels('Chunks', 'server_stream')}} 3`));
  assert.ok(page.includes(`grpc_server_started_total${labels('Watch', 'server_stream')}} 0`));
  assert.ok(page.includes(`grpc_client_msg_received_total${labels('Chunks', 'server_stream')}} 3`));
  const { text } = await metricsPage(registry, 'application/openmetrics-text');
  const traces = ['server', 'client'].map(
    (side) =>
      new RegExp(`^grpc_${side}_handling_seconds_bucket\\{.*grpc_method="GetOne"\\} 1 # \\{trace_id="(\\w{32})"\\}`, 'm').exec(text)?.[1],
  );
  assert.ok(traces[0]);
  assert.equal(traces[0], traces[1], 'both sides name the same trace');
});

test('a hundred calls under one signal are no leak', async () => {
  const warnings: Error[] = [];
  const note = (warning: Error): number => warnings.push(warning);
  process.on('warning', note);
  const c = client(await serve({ getOne: unary(async (request, { signal }) => sleep(20, request, { signal })) }));
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 100 }, (_, n) => c.getOne({ n }, { signal })));
  await sleep(1);
  process.off('warning', note);
  assert.deepEqual(warnings, []);
});

test('metadata over the limit is refused with the name of its largest entry, by the client and by the server', async () => {
  const server = await serve();
  const c = client(server, { metadata: { 'x-team': 'vision' } });
  const large = { ...in5s, metadata: { 'x-note': 'n'.repeat(10_000) } };
  const refused = (e: unknown, field: RegExp): boolean =>
    e instanceof errors.InvalidArgument && field.test(e.violations[0]!.field) && /at most \d+ are allowed/.test(e.message);
  const stream = async () => {
    for await (const _ of c.chunks({ n: 1 }, large));
  };
  for (const call of [() => c.getOne({ name: 'x' }, large), stream]) await assert.rejects(call, (e) => refused(e, /^metadata\.x-note$/));
  await c.getOne({ name: 'x' }, { ...in5s, metadata: { 'x-note': 'n'.repeat(7000) } });

  // A client of another make, which does not check. One entry is large, or there are many.
  const plain = new Client(`127.0.0.1:${server.port}`, credentials.createInsecure());
  open.push(plain);
  const ask = (metadata: Metadata) =>
    new Promise((resolve, reject) => {
      const { path, requestSerialize, responseDeserialize } = definition.getOne;
      plain.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { name: 'x', n: 0 },
        metadata,
        { deadline: Date.now() + 5000 },
        (e, value) => (e ? reject(fromServiceError(e)) : resolve(value)),
      );
    });
  const one = new Metadata();
  one.set('x-note', 'n'.repeat(20_000));
  await assert.rejects(ask(one), (e) => refused(e, /^metadata\.x-note$/));
  const many = new Metadata();
  for (let k = 0; k < 100; k++) many.set(`x-${k}`, 'n'.repeat(200));
  await assert.rejects(ask(many), (e) => refused(e, /^metadata\.x-\d+$/));
  assert.deepEqual(await ask(new Metadata()), { name: 'x', n: 0 });
});
