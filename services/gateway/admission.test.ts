// Who is answered: hosts, origins, tokens; and what no request can do.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createToken } from '#auth/tokens.js';
import { InvalidArgument } from '#errors/errors.js';
import { Closers, gatewayFor, post, schedulerFor, schedulerOverHttp } from '../../test/support/gateway.js';
import { gatewayConfig } from './config.js';
import { start } from './main.js';

const timeout = 60_000;
const list = 'SchedulerService/ListSchedules';
const body = { parent: 'projects/p' };

/** With headers that fetch does not let anybody set. @returns the status */
function status(url: string, headers: Record<string, string>, method = 'POST', path = `/dropstream.v1.${list}`): Promise<number> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      { host: hostname, port, method, path, headers: { 'content-type': 'application/json', ...headers } },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    sent.on('error', reject);
    sent.end(method === 'POST' ? JSON.stringify(body) : undefined);
  });
}

describe('browsers', { timeout }, () => {
  const closers = new Closers();
  after(() => closers.close());
  let url: string;
  before(async () => {
    url = await schedulerOverHttp(closers, ['--allowed-origin', 'https://dash.example.com', '--allowed-host', 'train.test']);
  });

  test('a name that is not one of this machine is refused, whatever it leads to', async () => {
    const { port } = new URL(url);
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, 'localhost', `[::1]:${port}`, `train.test:${port}`, 'TRAIN.test'])
      assert.equal(await status(url, { host }), 200, host);
    for (const host of ['evil.example.com', `127.0.0.1.evil.com:${port}`, 'localhost.evil.com', '10.0.0.1'])
      assert.equal(await status(url, { host }), 421, host);
    for (const host of ['a b', 'user@localhost', 'localhost/x', '::::']) assert.equal(await status(url, { host }), 400, host);
    assert.equal(await status(url, { host: 'evil.example.com' }, 'GET', '/'), 421, 'pages, too');
  });

  test('pages of other origins are refused, but for those on the list', async () => {
    const { host } = new URL(url);
    for (const origin of [url, 'https://dash.example.com', `https://${host}`]) assert.equal(await status(url, { origin }), 200, origin);
    for (const origin of ['null', 'http://dash.example.com', 'https://dash.example.com.evil.com', 'https://evil.com', 'http://localhost:1'])
      assert.equal(await status(url, { origin }), 403, origin);
    for (const site of ['cross-site', 'same-site']) {
      assert.equal(await status(url, { 'sec-fetch-site': site, 'sec-fetch-mode': 'no-cors' }), 403);
      assert.notEqual(await status(url, { 'sec-fetch-site': site, 'sec-fetch-mode': 'navigate' }, 'GET', '/'), 403, 'a link');
    }
  });

  test('preflights say what a page on the list may send', async () => {
    const ask = (origin: string) =>
      fetch(`${url}/dropstream.v1.${list}`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
      });
    const allowed = await ask('https://dash.example.com');
    assert.equal(allowed.status, 204);
    assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://dash.example.com');
    assert.match(allowed.headers.get('access-control-allow-headers') ?? '', /Content-Type.*Connect-Timeout-Ms.*Authorization/i);
    assert.equal(allowed.headers.get('vary'), 'Origin');
    const answer = await post(url, list, body, { origin: 'https://dash.example.com' });
    assert.equal(answer.headers.get('access-control-allow-origin'), 'https://dash.example.com');
    const refused = await ask('https://evil.com');
    assert.deepEqual([refused.status, refused.headers.get('access-control-allow-origin')], [403, null]);
  });
});

describe('callers', { timeout }, () => {
  const tokens: Record<string, string> = {};
  let folder: string;
  let identities: string;
  after(() => rm(folder, { recursive: true }));
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropstream-gateway-'));
    identities = join(folder, 'identities.json');
    const principals = Object.entries({ sue: { p: 'submitter' }, vic: { p: 'viewer' } }).map(([name, roles]) => {
      const { id, sha256, text } = createToken();
      tokens[name] = text;
      return [name, { roles, uris: [], tokens: [{ id, sha256, created: '2026-01-01T00:00:00Z' }] }];
    });
    writeFileSync(identities, JSON.stringify({ version: 1, principals: Object.fromEntries(principals) }));
  });
  const schedule = {
    parent: 'projects/p',
    scheduleId: 'mine',
    spec: { kind: 'DROP_KIND_DROP_PATH', rate: 0.5, mode: 'DROP_MODE_STANDARD' },
  };
  const as = (name: string) => ({ authorization: `Bearer ${tokens[name]}` });

  for (const own of [false, true])
    test(`may do what the services allow them${own ? ', and the gateway asks first where it has identities' : ''}`, async (t) => {
      const scheduler = await schedulerFor(t, ['--identities', identities]);
      const gateway = await gatewayFor(t, ['--scheduler', `127.0.0.1:${scheduler.port}`, ...(own ? ['--identities', identities] : [])]);
      const url = `http://127.0.0.1:${gateway.port}`;
      assert.equal((await post(url, list, body)).body.code, 'unauthenticated');
      assert.equal((await post(url, list, body, { authorization: 'Bearer nonsense' })).body.code, 'unauthenticated');
      assert.equal((await post(url, 'SchedulerService/CreateSchedule', schedule, as('vic'))).body.code, 'permission_denied');
      const created = await post(url, 'SchedulerService/CreateSchedule', schedule, as('sue'));
      assert.equal(created.body.schedule?.creator, 'sue', JSON.stringify(created.body));
      assert.equal((await post(url, list, body, as('vic'))).body.schedules.length, 1);
      assert.equal((await post(url, list, { parent: 'projects/q' }, as('vic'))).body.code, 'permission_denied');
      assert.equal((await post(url, list, body, { ...as('vic'), 'dropstream-project': 'q' })).body.code, 'permission_denied');
    });

  test('their tokens are not sent in plain text to other machines', async (t) => {
    const gateway = await gatewayFor(t, ['--scheduler', '192.0.2.1:7012']);
    const { body: refused } = await post(`http://127.0.0.1:${gateway.port}`, list, body, as('sue'));
    assert.equal(refused.code, 'failed_precondition');
    assert.match(refused.message, /plain text/);
  });

  test('the gateway listens to other machines only with TLS or where that is said, and for known callers', async () => {
    for (const argv of [[], ['--identities', identities], ['--allow-remote']])
      await assert.rejects(
        start(gatewayConfig.parse({ argv: ['--host', '0.0.0.0', '--port', '0', '--admin-port', '0', ...argv] })),
        InvalidArgument,
      );
  });

  test('where nobody needs a token, the names of the gateway must be given, or that it may have any', async (t) => {
    const open = ['--host', '0.0.0.0', '--port', '0', '--admin-port', '0', '--allow-remote', '--allow-anonymous'];
    await assert.rejects(start(gatewayConfig.parse({ argv: open })), /allowed-host/);
    for (const [name, answers] of [
      ['train.test', 421],
      ['*', 503],
    ] as const) {
      const gateway = await start(gatewayConfig.parse({ argv: [...open, '--scheduler', '127.0.0.1:1', '--allowed-host', name] }));
      t.after(() => gateway.close());
      assert.equal(await status(`http://127.0.0.1:${gateway.port}`, { host: 'somebody.test' }), answers, name);
    }
  });
});

describe('hostile requests', { timeout }, () => {
  const closers = new Closers();
  after(() => closers.close());
  let url: string;
  before(async () => {
    url = await schedulerOverHttp(closers, ['--max-body-bytes', '65536', '--max-streams', '2']);
  });
  const alive = async () => assert.equal((await post(url, list, body)).status, 200);

  test('bodies that are too large are refused, compressed ones before they are unpacked', async () => {
    const large = { parent: 'x'.repeat(100_000) };
    assert.equal((await post(url, list, large)).body.code, 'resource_exhausted');
    const bomb = gzipSync(Buffer.alloc(50 << 20, 32));
    assert.equal((await post(url, list, new Uint8Array(bomb), { 'content-encoding': 'gzip' })).body.code, 'resource_exhausted');
    assert.equal((await post(url, list, new Uint8Array([1, 2, 3]), { 'content-encoding': 'gzip' })).status >= 400, true);
    assert.equal((await post(url, list, '{}', { 'content-encoding': 'zstd' })).body.code, 'unimplemented');
    await alive();
  });

  test('what is no message is refused with INVALID_ARGUMENT', async () => {
    const bodies = ['', '{', '[]', 'null', '7', '"x"', '{"parent":{}}', '{"parent":"projects/p","pageSize":1e99}', '{"parent":"\ud800"}'];
    bodies.push('['.repeat(60_000), `{"parent":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, `{"a":`.repeat(10_000));
    for (const text of bodies) {
      const answer = await post(url, list, text);
      assert.equal(answer.body.code, 'invalid_argument', `${text.slice(0, 40)}: ${JSON.stringify(answer.body)}`);
    }
    for (const type of ['text/plain', 'application/xml', 'application/connect+json', 'application/grpc', 'application/grpc-web+proto'])
      assert.equal((await post(url, list, '{}', { 'content-type': type })).status, 415, type);
    await alive();
  });

  test('envelopes of streams that lie are refused', async () => {
    const call = async (bytes: Uint8Array) => {
      const response = await fetch(`${url}/dropstream.v1.SchedulerService/WatchSchedule`, {
        method: 'POST',
        headers: { 'content-type': 'application/connect+json' },
        body: bytes as never,
        signal: AbortSignal.timeout(10_000),
      });
      return Buffer.from(await response.arrayBuffer()).toString('latin1');
    };
    for (const bytes of [[], [0], [0, 0, 0, 0, 9, 123], [0, 255, 255, 255, 255], [9, 0, 0, 0, 1, 1], [1, 0, 0, 0, 1, 1]])
      assert.match(
        await call(Uint8Array.from(bytes)),
        /"code":"(invalid_argument|resource_exhausted|internal|unimplemented)"/,
        bytes.join(),
      );
    await alive();
  });

  test('paths lead nowhere else', async () => {
    const paths = [
      '/../package.json',
      '/..%2f..%2fpackage.json',
      '/%2e%2e/package.json',
      '/assets/../../config.ts',
      '/dropstream.v1.X/Y',
      '/a.b',
      '//x.y',
      '/?..//.',
    ];
    for (const path of paths) assert.ok([404, 503, 200].includes(await status(url, {}, 'GET', path)), path);
    for (const path of paths.slice(0, 7)) assert.equal(await status(url, {}, 'GET', path), 404, path);
    for (const method of ['PUT', 'DELETE', 'TRACE', 'PATCH']) assert.ok((await status(url, {}, method)) >= 400, method);
    await alive();
  });

  test('bytes that are no HTTP end their connection only', async () => {
    const garbage = [
      '\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense nonsense',
      'PRI nothing\r\n\r\n',
      '\x16\x03\x01\x02\x00',
      'GET / HTTP/9.9\r\n\r\n',
      'P',
    ];
    for (const text of garbage) {
      const { hostname, port } = new URL(url);
      const socket = connectTcp(Number(port), hostname);
      socket.on('error', () => {});
      socket.resume();
      socket.end(text);
      await new Promise((resolve) => socket.once('close', resolve));
    }
    await alive();
  });

  test('more streams than allowed are refused, and there is room again when others end', async () => {
    const watch = (leave: AbortController) =>
      fetch(`${url}/dropstream.v1.SchedulerService/WatchSchedule`, {
        method: 'POST',
        headers: { 'content-type': 'application/connect+json' },
        body: envelope({ name: 'projects/p/schedules/room' }) as never,
        signal: leave.signal,
      });
    await post(url, 'SchedulerService/CreateSchedule', {
      parent: 'projects/p',
      scheduleId: 'room',
      spec: { kind: 'DROP_KIND_DROP_PATH', rate: 0.5, mode: 'DROP_MODE_STANDARD' },
    });
    const leaving = [new AbortController(), new AbortController()];
    await Promise.all(leaving.map(watch));
    const third = new AbortController();
    assert.match(await (await watch(third)).text(), /resource_exhausted/);
    for (const one of leaving) one.abort();
    let text = '';
    for (let look = 0; look < 100 && !text.includes('schedule'); look++) {
      const again = new AbortController();
      const reader = (await watch(again)).body!.getReader();
      text = Buffer.from((await reader.read()).value ?? []).toString();
      again.abort();
    }
    assert.match(text, /"schedule"/);
  });
});

function envelope(message: object): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(message));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
