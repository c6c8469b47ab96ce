/** Many clients at once: fair shares, bounds on bytes, clients that are slow or vanish, batches made ahead, draining. Real processes, real gRPC. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BatchClient } from '#data/client/batch-client.js';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { saveManifest } from '#data/manifest/manifest-store.js';
import { NeverFits, ResourceExhausted } from '#errors/errors.js';
import {
  DataServiceClient,
  GetBatchRequest,
  type Plan,
  Plan as PlanMessage,
  SampleOrder,
  TransformSpec,
} from '#protocol/dropstream/v1/data.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { DirectoryStore } from '#storage/directory-store.js';
import { type ServiceProcess, sourceFlags, startService } from '../../test/support/processes.js';
import { writeIdx, writeImageFolder } from '../../test/support/sample-datasets.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-shares-'));
const [root, storePath] = [join(base, 'root'), join(base, 'store')];
const manifests: Record<string, string> = {};
const MIB = 1 << 20;

before(async () => {
  mkdirSync(root);
  writeImageFolder(join(root, 'folder'), { perClass: 8 });
  writeIdx(join(root, 'idx'), { count: 2000 });
  const store = await DirectoryStore.open(storePath);
  for (const [name, split] of [
    ['folder', ''],
    ['idx', 'train'],
  ] as const) {
    const dataset = await indexDataset(await AllowedRoots.open([base]), join(root, name), { split });
    await saveManifest(store, dataset, 'default');
    manifests[name] = dataset.sha256;
  }
  await store.close();
});
after(() => rmSync(base, { recursive: true, force: true }));

const replica = (t: TestContext, ...argv: string[]) =>
  startService(t, 'data', ['--store', storePath, '--root', root, '--log-level', 'warn', ...argv]);
/** Over a connection of its own, closed with the test. */
function connectTo(t: TestContext, { address }: ServiceProcess) {
  const channel = { 'grpc.use_local_subchannel_pool': 1 };
  const client = connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, address, { channel });
  t.after(() => client.close());
  return client;
}
const signal = () => AbortSignal.timeout(60_000);

const plan = (dataset: string, transform: Partial<TransformSpec>, rest: Partial<Plan> = {}): Plan => ({
  ...PlanMessage.create(),
  dataset: { manifest: manifests[dataset]! },
  seed: 5n,
  batchSize: 4,
  order: SampleOrder.SHUFFLED,
  transform: { ...TransformSpec.create(), inputSize: 28, training: true, ...transform },
  ...rest,
});

async function metric({ admin }: ServiceProcess, series: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${series} `) || one.startsWith(`${series}{service`));
  return line === undefined ? 0 : Number(line.split(' ').at(-1));
}

/** Until the metric is as wanted; what it was last otherwise. */
async function metricIs(service: ServiceProcess, series: string, wanted: number, withinMs: number): Promise<number> {
  const end = performance.now() + withinMs;
  for (;;) {
    const value = await metric(service, series);
    if (value === wanted || performance.now() > end) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** 0 where the process is gone. */
function residentBytes({ process: child }: ServiceProcess): number {
  try {
    const [, kibibytes = '0'] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
    return 1024 * Number(kibibytes);
  } catch {
    return 0;
  }
}

test('fifty clients, with one to eight calls in flight each, are served alike and none fails', { timeout: 120_000 }, async (t) => {
  const service = await replica(t, '--concurrency', '2');
  // Each call is work for the service, little for the clients.
  const of = plan('folder', { inputSize: 96 }, { batchSize: 8 });
  const [clients, total] = [50, 1500];
  const counts = new Array<number>(clients).fill(0);
  const stop = new AbortController();
  let taken = 0;
  const read = async (_: unknown, i: number): Promise<void> => {
    const client = new BatchClient({ addresses: [service.address], inFlight: 1 + (i % 8) });
    try {
      for await (const batch of client.batches({
        plan: of,
        from: { epoch: i, index: 0 },
        signal: AbortSignal.any([stop.signal, signal()]),
      })) {
        batch.release();
        counts[i]!++;
        if (++taken >= total) stop.abort();
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    } finally {
      client.close();
    }
  };
  await Promise.all(Array.from({ length: clients }, read));
  const sum = counts.reduce((a, b) => a + b, 0);
  const jain = sum ** 2 / (clients * counts.reduce((a, b) => a + b ** 2, 0));
  t.diagnostic(`Jain index ${jain.toFixed(4)}: ${Math.min(...counts)} to ${Math.max(...counts)} batches a client`);
  assert.ok(jain >= 0.95, `${jain}: ${counts.join(' ')}`);
  assert.equal(await metric(service, 'dropstream_data_refused_total'), 0);
});

test('clients that do not read hold their own bytes only: the service stays within its budget and serves others', {
  timeout: 120_000,
  skip: process.platform !== 'linux' && 'resident memory is read from /proc',
}, async (t) => {
  // Batches get what memory that waits for garbage collection leaves: 104 MiB.
  const budget = 176 * MIB;
  const service = await replica(t, '--max-bytes', String(budget), '--max-client-bytes', String(20 * MIB), '--progress-ms', '600000');
  const large = plan('folder', { inputSize: 640 }, { batchSize: 8 }); // 9.4 MiB a batch
  const fast = new BatchClient({ addresses: [service.address], inFlight: 2 });
  const read = async (batches: number) => {
    for await (const batch of fast.batches({ plan: large, signal: signal() })) {
      batch.release();
      if (--batches === 0) return;
    }
  };
  // Code and one client's memory are there already.
  await read(10);
  const before = residentBytes(service);
  const slow = Array.from({ length: 4 }, () => connectTo(t, service));
  const stop = new AbortController();
  let headers = 0;
  const askAndStop = async (client: ReturnType<typeof connectTo>): Promise<void> => {
    try {
      await client.getBatch({ plan: large }, { signal: stop.signal })[Symbol.asyncIterator]().next();
      headers++;
    } catch (error) {
      if (!stop.signal.aborted) throw error;
    }
  };
  const stuck = slow.flatMap((client) => Array.from({ length: 12 }, () => askAndStop(client)));
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, residentBytes(service));
  }, 20);
  t.after(() => {
    clearInterval(watch);
    stop.abort();
    fast.close();
  });
  // 48 calls ask for 450 MiB. Of 104 MiB, one address may hold 78, and streams that are not read half of those: four batches.
  assert.equal(await metricIs(service, 'dropstream_data_waiting_calls', 44, 30_000), 44);
  await read(40);
  clearInterval(watch);
  const held = await metric(service, 'dropstream_data_batch_bytes');
  t.diagnostic(
    `${Math.round(held / MIB)} MiB held for 48 calls, resident memory grew by ${Math.round((most - before) / MIB)} MiB of ${budget / MIB}`,
  );
  // Some are ended in favour of connections that had no turn yet.
  assert.ok(headers <= 8, `${headers} headers`);
  assert.ok(held > 4 * 9 * MIB && held <= 78 * MIB, `${held} bytes held`);
  assert.ok(most - before <= budget, `grew from ${before} to ${most}`);
  stop.abort();
  await Promise.all(stuck);
  assert.equal(await metricIs(service, 'dropstream_data_batch_bytes', 0, 5000), 0);
});

test('a stream from which nothing is taken ends with a status, its memory is freed, and its client may ask again', {
  timeout: 60_000,
}, async (t) => {
  const service = await replica(t, '--progress-ms', '700');
  const large = plan('folder', { inputSize: 640 }, { batchSize: 8 });
  const client = connectTo(t, service);
  const messages = client.getBatch({ plan: large }, { signal: signal() })[Symbol.asyncIterator]();
  await messages.next();
  assert.equal(await metricIs(service, 'dropstream_data_clients', 0, 20_000), 0);
  assert.equal(await metric(service, 'dropstream_data_batch_bytes'), 0);
  // Whoever reads within the grace gets what was sent before, and then the status.
  const read = async (): Promise<void> => {
    while (!(await messages.next()).done);
  };
  await assert.rejects(
    read,
    (error) => error instanceof ResourceExhausted && /byte taken/.test(error.message) && error.retryAfterMs !== undefined,
  );
  await fetched(client, { plan: large });
});

test('a slow but steady reader gets its whole batch, although that takes longer than the progress deadline', {
  timeout: 120_000,
}, async (t) => {
  const service = await replica(t, '--progress-ms', '2000');
  const large = plan('folder', { inputSize: 640 }, { batchSize: 8 });
  const client = connectTo(t, service);
  let [bytes, total, begun] = [0, 0, performance.now()];
  for await (const { part } of client.getBatch({ plan: large }, { signal: signal() })) {
    if (part?.$case === 'header') {
      total = Number(part.value.payloadBytes);
      begun = performance.now();
    }
    if (part?.$case === 'chunk') bytes += part.value.byteLength;
    // At least a few seconds in all.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(bytes, total);
  t.diagnostic(`${Math.round(performance.now() - begun)} ms`);
});

test('a plan whose batch can never fit is refused for good: by GetBatch, and by DescribeDataset before anything is asked for', async (t) => {
  const service = await replica(t, '--max-bytes', String(MIB));
  const client = connectTo(t, service);
  const large = plan('folder', { inputSize: 640 }, { batchSize: 8 });
  const neverFits = (error: unknown) => error instanceof NeverFits && /max-bytes/.test(error.message);
  await assert.rejects(fetched(client, { plan: large }), neverFits);
  const describe = (of: Plan) => client.describeDataset({ dataset: of.dataset, plan: of }, { signal: signal() });
  await assert.rejects(describe(large), neverFits);
  const reader = new BatchClient({ addresses: [service.address] });
  t.after(() => reader.close());
  await assert.rejects(async () => {
    for await (const batch of reader.batches({ plan: large, signal: signal() })) batch.release();
  }, neverFits);
  // 24 samples in batches of 10: four are left out of an epoch, or make a smaller batch.
  const shuffled = await describe(plan('folder', { inputSize: 64 }, { batchSize: 10 }));
  assert.deepEqual([shuffled.epochSamples, shuffled.batchesPerEpoch], [20n, 2]);
  const sequential = await describe(plan('folder', { inputSize: 64, training: false }, { batchSize: 10, order: SampleOrder.SEQUENTIAL }));
  assert.deepEqual([sequential.epochSamples, sequential.batchesPerEpoch], [24n, 3]);
});

const vanishing = fileURLToPath(new URL('../../test/support/vanishing-client.ts', import.meta.url));

test('a client that vanishes frees its share in under a second, and what was made ahead for it', { timeout: 60_000 }, async (t) => {
  const service = await replica(t);
  const large = plan('folder', { inputSize: 640 }, { batchSize: 8 });
  const requests = [0, 1, 2].map((index) => GetBatchRequest.toJSON({ ...GetBatchRequest.create(), plan: large, index, readAhead: 3 }));
  const child = fork(vanishing, [service.address, JSON.stringify(requests)], { execArgv: sourceFlags });
  t.after(() => child.kill('SIGKILL'));
  await new Promise((resolve, reject) => child.once('message', resolve).once('exit', reject));
  assert.equal(await metricIs(service, 'dropstream_data_clients', 1, 5000), 1);
  assert.ok((await metric(service, 'dropstream_data_batch_bytes')) >= 3 * 9 * MIB);
  child.kill('SIGKILL');
  assert.equal(await metricIs(service, 'dropstream_data_batch_bytes', 0, 1000), 0);
  assert.equal(await metric(service, 'dropstream_data_clients'), 0);
});

async function fetched(client: ReturnType<typeof connectTo>, request: Partial<GetBatchRequest>): Promise<string> {
  const hash = createHash('sha256');
  for await (const { part } of client.getBatch(request, { signal: signal() })) if (part?.$case === 'chunk') hash.update(part.value);
  return hash.digest('hex');
}

test('batches announced by a call are made before they are asked for, over the end of the epoch, with the same bytes', async (t) => {
  const service = await replica(t);
  const of = plan('folder', { inputSize: 64 }, { batchSize: 8 }); // three batches an epoch
  const [client, other] = [connectTo(t, service), connectTo(t, service)];
  const made = 'dropstream_data_images_total';
  const taken = 'dropstream_data_ahead_total{outcome="taken"}';
  await fetched(client, { plan: of, index: 1, readAhead: 3 });
  assert.equal(await metricIs(service, made, 32, 10_000), 32);
  const ahead = [await fetched(client, { plan: of, index: 2 }), await fetched(client, { plan: of, epoch: 1, index: 0 })];
  assert.equal(await metric(service, made), 32);
  const text = await (await fetch(`${service.admin}/metrics`)).text();
  assert.match(text, /^dropstream_data_ahead_total\{.*outcome="taken".*\} 2$/m, taken);
  // Another client has no part in them.
  assert.deepEqual([await fetched(other, { plan: of, index: 2 }), await fetched(other, { plan: of, epoch: 1, index: 0 })], ahead);
  assert.equal(await metric(service, made), 48);
  assert.ok((await metric(service, 'dropstream_data_batch_bytes')) > 0);
  // One is left; it goes with its connection.
  client.close();
  assert.equal(await metricIs(service, 'dropstream_data_batch_bytes', 0, 5000), 0);
});

test('a cancelled call takes what it announced with it', async (t) => {
  const service = await replica(t);
  const large = plan('folder', { inputSize: 640 }, { batchSize: 8 });
  const client = connectTo(t, service);
  const messages = client.getBatch({ plan: large, readAhead: 2 }, { signal: signal() })[Symbol.asyncIterator]();
  await messages.next();
  assert.equal(await metricIs(service, 'dropstream_data_images_total', 24, 20_000), 24);
  await messages.return?.();
  assert.equal(await metricIs(service, 'dropstream_data_batch_bytes', 0, 5000), 0);
  // The connection is still there.
  await fetched(client, { plan: large });
});

test('a replica that drains finishes its calls; one that is added is used; the reader notices neither', { timeout: 60_000 }, async (t) => {
  const replicas = [await replica(t), await replica(t)];
  const addresses = () => replicas.map(({ address }) => address);
  const of = plan('idx', {}, { batchSize: 20 }); // 100 batches an epoch
  const seen: number[] = [];
  const client = new BatchClient({ addresses: addresses(), discover: async () => addresses(), discoverMs: 50 });
  let ended: Promise<unknown> | undefined;
  for await (const batch of client.batches({ plan: of, epochs: 2, signal: signal() })) {
    seen.push(batch.epoch * 100 + batch.index);
    batch.release();
    if (seen.length === 60) {
      replicas.push(await replica(t));
      ended = replicas.shift()!.end('SIGTERM');
    }
  }
  client.close();
  assert.deepEqual(
    seen,
    Array.from({ length: 200 }, (_, i) => i),
  );
  assert.equal(await ended, 0);
  assert.ok((await metric(replicas[1]!, 'dropstream_data_images_total')) > 0);
});
