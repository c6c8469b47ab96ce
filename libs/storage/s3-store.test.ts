import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type RunningMinio, startMinio } from '../../test/support/minio.js';
import { storeConformance } from '../../test/support/store-conformance.js';
import { until } from '../../test/support/until.js';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.js';
import { CheckpointDamaged } from './checkpoint-manifest.js';
import { createExclusive } from './exclusive-create.js';
import { LogConflict } from './log-record.js';
import { InvalidKey, ObjectExists, ObjectNotFound, type ObjectStore, ObjectTooLarge, StoreUnavailable } from './object-store.js';
import { InvalidStoreUri, openStore } from './open-store.js';
import { RecordLog } from './record-log.js';
import { S3_PART_BYTES } from './s3-store.js';

const started = await startMinio();
const skip = 'skip' in started ? started.skip : false;
const minio = started as RunningMinio;
let buckets = 0;
after(() => (skip ? undefined : minio.stop()));

const freshUri = (prefix?: string) => minio.createBucket(`test-${++buckets}`, prefix);

storeConformance(
  'the S3 store on MinIO',
  async () => {
    const uri = await freshUri('some/prefix');
    const [store, other] = [await openStore(uri, { env: minio.env }), await openStore(uri, { env: minio.env })];
    return {
      store,
      other,
      close: async () => {
        await store.close();
        await other.close();
      },
    };
  },
  skip,
);

test('ten claimants of one log over MinIO leave one history, and a checkpoint of several parts is verified', { skip }, async () => {
  const store = await openStore(await freshUri('s'), { env: minio.env });
  const claims = Array.from({ length: 10 }, () => new RecordLog(store, 'projects/p/runs/r/log').append('claimed'));
  const results = await Promise.allSettled(claims);
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const result of results) assert.ok(result.status === 'fulfilled' || result.reason instanceof LogConflict);
  const data = Float32Array.from({ length: 6_000_000 }, (_, i) => i);
  const weights = [0, 1, 2].map((i) => ({
    name: `w${i}`,
    dtype: 'F32' as const,
    shape: [2_000_000],
    data: data.subarray(i * 2e6, (i + 1) * 2e6),
  }));
  const state = { step: 7, epoch: 1, logSequence: 1, fingerprint: 'f', epochAccumulators: null, best: null };
  const saved = await saveCheckpoint(store, 'projects/p/runs/r/checkpoints', { ...state, weights }, { maxPartBytes: 20_000_000 });
  assert.equal(saved.manifest.parts.length, 2);
  const loaded = await loadCheckpoint(store, saved.manifestKey);
  assert.deepEqual(
    loaded.tensors.weights?.map((tensor) => (tensor.data as Float32Array)[1_999_999]),
    [1_999_999, 3_999_999, 5_999_999],
  );
  await store.delete(saved.manifest.parts[1]!.key);
  await assert.rejects(loadCheckpoint(store, saved.manifestKey), CheckpointDamaged);
  await store.close();
});

test('without a prefix keys are the names in the bucket', { skip }, async () => {
  const store = await openStore(await freshUri(), { env: minio.env });
  await assert.rejects(store.put('000000000012', Buffer.from('x')), InvalidKey);
  await store.put('a/000000000012', Buffer.from('x'));
  await store.put('b', Buffer.from('x'));
  assert.deepEqual(
    (await store.list('')).objects.map((object) => object.key),
    ['a/000000000012', 'b'],
  );
  await store.close();
});

test('a create larger than one request is refused, since parts are not exclusive', { skip }, async () => {
  const store = await openStore(await freshUri(), { env: minio.env });
  const tooLarge = Buffer.alloc(S3_PART_BYTES + 1);
  await assert.rejects(store.put('a', tooLarge, { ifAbsent: true }), ObjectTooLarge);
  await store.put('a', tooLarge.subarray(1), { ifAbsent: true });
  await assert.rejects(store.put('a', tooLarge.subarray(1), { ifAbsent: true }), ObjectExists);
  await store.close();
});

test('wrong credentials and a missing bucket fail at once, by name, without saying the secret', { skip }, async () => {
  const uri = await freshUri();
  const env = { ...minio.env, DROPSTREAM_S3_SECRET_KEY: 'wrong-secret-value' };
  const refused = (error: unknown) =>
    error instanceof StoreUnavailable && !error.retryable && !error.message.includes('wrong-secret-value');
  await assert.rejects(openStore(uri, { env }), refused);
  await assert.rejects(
    openStore(uri.replace('test-', 'missing-'), { env: minio.env }),
    (error) => refused(error) && /NoSuchBucket/.test(String(error)),
  );
});

test('store URIs: invalid ones are rejected, and errors contain no credentials', async () => {
  const env = { DROPSTREAM_S3_ACCESS_KEY: 'access', DROPSTREAM_S3_SECRET_KEY: 'hidden' };
  const bad = [
    '',
    'ftp://host/x',
    's3://UPPER/x',
    's3://bucket/a b',
    's3://bucket?endpoint=nowhere',
    's3://bucket?endpoint=http://user:hidden@host',
    's3://bucket?endpoint=http://:hidden@host',
    's3://bucket?endpoint=http://host/path',
    's3://bucket?secret=hidden',
    's3://user:hidden@bucket',
    's3://bucket?region=Not%20one',
    'file://host/x',
  ];
  for (const uri of bad) {
    await assert.rejects(
      openStore(uri, { env, probe: false }),
      (error) => error instanceof Error && (uri.includes('?secret') || !error.message.includes('hidden')),
      uri,
    );
  }
  await assert.rejects(openStore('s3://bucket', { env: {}, probe: false }), InvalidStoreUri);
  const store = await openStore('s3://bucket/p?region=eu-west-1', {
    env: { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'hidden' },
    probe: false,
  });
  assert.equal(store.uri, 's3://bucket/p?endpoint=https://s3.eu-west-1.amazonaws.com&region=eu-west-1');
  await store.close();
});

/** A proxy between store and server: passes bytes on, holds them, or cuts off the server's next responses. */
class FaultyProxy {
  mode: 'pass' | 'silent' | 'reset' = 'pass';
  /** Number of responses to PUT that will be lost: the server does the work, but the client gets no answer. */
  repliesToLose = 0;
  connections = 0;
  private readonly sockets = new Set<Socket>();
  private muted: ReadonlySet<Socket> = new Set();
  private constructor(private readonly server: Server) {}

  static async to(port: number): Promise<FaultyProxy> {
    const server = createServer();
    const proxy = new FaultyProxy(server);
    server.on('connection', (client) => proxy.accept(client, port));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** The connections that there are give no more answers; later ones do. */
  muteAll(): void {
    this.muted = new Set(this.sockets);
  }

  private accept(client: Socket, port: number): void {
    this.connections++;
    const server = connect(port, '127.0.0.1');
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket
        .on('error', () => undefined)
        .on('close', () => {
          this.sockets.delete(socket);
          client.destroy();
          server.destroy();
        });
    }
    let putting = false;
    client.on('data', (data: Buffer) => {
      if (this.mode === 'reset') client.destroy();
      else {
        if (/^[A-Z]+ /.test(data.toString('latin1', 0, 8))) putting = data.toString('latin1', 0, 4) === 'PUT ';
        server.write(data);
      }
    });
    server.on('data', (data: Buffer) => {
      if (this.mode === 'silent' || this.muted.has(server)) return;
      if (putting && this.repliesToLose > 0) {
        this.repliesToLose--;
        client.destroy();
      } else client.write(data);
    });
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

describe('a network that fails', { skip, timeout: 60_000 }, () => {
  const limits = { requestTimeoutMs: 300, attempts: 2, backoffMs: 5 };
  let proxy: FaultyProxy;
  let store: ObjectStore;
  before(async () => {
    proxy = await FaultyProxy.to(Number(new URL(minio.endpoint).port));
    const uri = (await freshUri()).replace(minio.endpoint, `http://127.0.0.1:${proxy.port}`);
    store = await openStore(uri, { env: minio.env, limits: { ...limits, attempts: 4 } });
    await store.put('there', Buffer.from('x'));
  });
  after(async () => {
    await store?.close();
    await proxy?.close();
  });

  test('a server that stops answering makes every call StoreUnavailable, none hangs', async () => {
    proxy.mode = 'silent';
    const calls = [
      () => store.put('a', Buffer.from('x')),
      () => store.put('a', Buffer.from('x'), { ifAbsent: true }),
      () => store.put('a', Buffer.alloc(S3_PART_BYTES + 1)),
      () => store.get('there'),
      () => store.head('there'),
      () => store.list(''),
      () => store.delete('not-there'),
    ];
    await Promise.all(calls.map((call) => assert.rejects(call(), (error) => error instanceof StoreUnavailable && error.retryable)));
    await assert.rejects(store.get('there', { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' });
    proxy.mode = 'pass';
    assert.equal((await store.get('there')).bytes.toString(), 'x');
  });

  test('a lost reply to a create: the next try is refused, and reading back tells that the object is its own', async () => {
    proxy.repliesToLose = 1;
    assert.equal(await createExclusive(store, 'lost', Buffer.from('mine')), 'created');
    assert.equal(proxy.repliesToLose, 0);
    proxy.repliesToLose = 1;
    await assert.rejects(store.put('lost-2', Buffer.from('mine'), { ifAbsent: true }), ObjectExists);
    assert.equal(await createExclusive(store, 'lost', Buffer.from('theirs')), 'exists');
  });

  test('a put in parts survives lost replies to parts', async () => {
    const bytes = Buffer.alloc(S3_PART_BYTES * 2 + 5, 7);
    proxy.repliesToLose = 2;
    await store.put('parts', bytes);
    assert.equal(proxy.repliesToLose, 0);
    assert.ok((await store.get('parts')).bytes.equals(bytes));
  });

  test('when all idle connections have fallen silent, one attempt finds out and the next one has a new connection', async () => {
    await Promise.all(Array.from({ length: 8 }, () => store.head('there')));
    proxy.muteAll();
    const before = proxy.connections;
    assert.equal((await store.get('there')).bytes.toString(), 'x');
    assert.equal(proxy.connections - before, 1);
  });

  test('reset connections are tried again, a bounded number of times', async () => {
    proxy.mode = 'reset';
    const before = proxy.connections;
    await assert.rejects(store.head('there'), StoreUnavailable);
    assert.ok(proxy.connections - before <= 4);
    proxy.mode = 'pass';
    await store.head('there');
  });
});

describe('a server that answers badly', () => {
  type Answer = (request: http.IncomingMessage, response: http.ServerResponse) => void;
  let answer: Answer;
  let requests = 0;
  let server: http.Server;
  let store: ObjectStore;
  const env = { DROPSTREAM_S3_ACCESS_KEY: 'a', DROPSTREAM_S3_SECRET_KEY: 'b' };
  const uri = () => `s3://bucket?endpoint=http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const limits = { requestTimeoutMs: 300, attempts: 3, backoffMs: 1 };
  before(async () => {
    server = http.createServer((request, response) => {
      requests++;
      request.resume().on('end', () => answer(request, response));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    store = await openStore(uri(), { env, limits, probe: false });
  });
  after(async () => {
    await store.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test('keys that are replaced in their file sign the next requests', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'dropstream-keys-'));
    t.after(() => rm(folder, { recursive: true }));
    const path = join(folder, 'keys.json');
    const file = { DROPSTREAM_S3_CREDENTIALS_FILE: path };
    const opened = () => openStore(uri(), { env: file, limits, probe: false });
    for (const content of ['', '{"accessKey":"one"}', '{"accessKey":"one","secretKey":"hush-hush","more":1}', '"hush-hush"']) {
      await writeFile(path, content);
      await assert.rejects(
        opened(),
        (error: Error) => /DROPSTREAM_S3_CREDENTIALS_FILE is .*keys\.json, must be/.test(error.message) && !/hush/.test(error.message),
      );
    }
    await writeFile(path, '{"accessKey":"one","secretKey":"first-secret"}');
    const keyed = await opened();
    t.after(() => keyed.close());
    const signed = new Set<string>();
    answer = ({ headers }, response) => {
      const token = headers['x-amz-security-token'];
      signed.add(`${/Credential=(\w+)\//.exec(headers.authorization ?? '')?.[1]}${token ? ` ${token}` : ''}`);
      response.writeHead(200, { etag: '"e"', 'content-length': '0', 'last-modified': new Date(0).toUTCString() }).end();
    };
    await keyed.head('a');
    assert.deepEqual([...signed], ['one']);
    await writeFile(path, '{"accessKey":"two","secretKey":"second-secret","sessionToken":"session"}');
    await until('the second keys', async () => {
      await keyed.head('a');
      return signed.has('two session');
    });
    await writeFile(path, 'no keys');
    signed.clear();
    // Longer than the pause between two readings of the file; nothing shows that it was read and refused.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    await keyed.head('a');
    assert.deepEqual([...signed], ['two session']);
  });

  test('a store that ignores If-None-Match is refused when it is opened', async () => {
    answer = (_, response) => response.writeHead(200, { etag: '"e"', 'content-length': '0' }).end();
    await assert.rejects(
      openStore(uri(), { env, limits }),
      (error) => error instanceof StoreUnavailable && !error.retryable && /If-None-Match/.test(error.message),
    );
  });

  test('503 is tried as often as allowed and no more; 403 once', async () => {
    for (const [status, tries, retryable] of [
      [503, 3, true],
      [500, 3, true],
      [409, 3, true],
      [403, 1, false],
      [501, 3, true],
    ] as const) {
      answer = (_, response) => response.writeHead(status, { 'content-length': '0' }).end();
      requests = 0;
      await assert.rejects(
        store.put('a', Buffer.from('x'), { ifAbsent: true }),
        (error) => error instanceof StoreUnavailable && error.retryable === retryable,
        `${status}`,
      );
      assert.equal(requests, tries, `${status}`);
    }
  });

  test('a body that stops half way is tried again, then StoreUnavailable', async () => {
    let times = 0;
    answer = (_, response) => {
      response.writeHead(200, { etag: '"e"', 'content-length': '10' });
      if (++times < 3) response.write('12345');
      else response.end('1234567890');
    };
    assert.equal((await store.get('a')).bytes.toString(), '1234567890');
    answer = (_, response) => response.writeHead(200, { etag: '"e"', 'content-length': '10' }).write('12345');
    await assert.rejects(store.get('a'), StoreUnavailable);
    answer = (_, response) => {
      response.writeHead(200, { etag: '"e"', 'content-length': '10' }).write('12345', () => response.destroy());
    };
    await assert.rejects(store.get('a'), StoreUnavailable);
  });

  test('a slow body that keeps arriving is not cut off', async () => {
    answer = (_, response) => {
      response.writeHead(200, { etag: '"e"', 'content-length': '8' });
      let sent = 0;
      const timer = setInterval(() => {
        response.write('x');
        if (++sent === 8) {
          clearInterval(timer);
          response.end();
        }
      }, 80);
    };
    requests = 0;
    assert.equal((await store.get('a')).bytes.toString(), 'xxxxxxxx');
    assert.equal(requests, 1);
  });

  test('404 with and without a body is ObjectNotFound; a missing bucket is not', async () => {
    answer = (_, response) => response.writeHead(404, { 'content-length': '0' }).end();
    await assert.rejects(store.head('a'), ObjectNotFound);
    const body = '<?xml version="1.0"?><Error><Code>NoSuchBucket</Code><Message>none</Message></Error>';
    answer = (_, response) => response.writeHead(404, { 'content-type': 'application/xml' }).end(body);
    await assert.rejects(store.get('a'), (error) => error instanceof StoreUnavailable && !error.retryable);
  });
});
