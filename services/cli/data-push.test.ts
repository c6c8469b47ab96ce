/** `data push` and `data index`, and the data service that reads what was pushed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DataServiceClient, GetBatchRequest, Plan, SampleOrder, TransformSpec } from '#protocol/dropstream/v1/data.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { silentLogger } from '#telemetry/logger.js';
import { runCommandLine } from '../../test/support/run-command-line.js';
import { writeImageFolder, writeTarShards } from '../../test/support/sample-datasets.js';
import { dataConfig } from '../data/config.js';
import { start } from '../data/main.js';
import { exitCodes } from './exit-codes.js';
import { commandLineEntry, nodeOptions } from './service-entry.js';

const base = mkdtempSync(join(tmpdir(), 'dropstream-push-'));
after(() => rmSync(base, { recursive: true, force: true }));
const env = { DROPSTREAM_HOME: join(base, 'home'), DROPSTREAM_STORE: join(base, 'store') };

const readdirOf = (folder: string) => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

const cli = (...argv: string[]) => runCommandLine(argv, { env, cwd: base });

test('what was pushed is served by a replica that has no folder of it, padded where the plan says so', async () => {
  const root = join(base, 'root');
  mkdirSync(root);
  const config = ['--store', env.DROPSTREAM_STORE, '--root', root, '--cache', join(base, 'cache')];
  const service = await start(dataConfig.parse({ argv: ['--port', '0', '--admin-port', '0', ...config] }), {
    logger: silentLogger(),
    processMetrics: false,
  });
  const client = connect(DataServiceClient as ClientClass<typeof DataServiceClient.service>, `127.0.0.1:${service.port}`);
  try {
    for (const [name, write] of [
      ['folder', () => writeImageFolder(join(base, 'folder'), { perClass: 5 })],
      ['shards', () => writeTarShards(join(base, 'shards'))],
    ] as const) {
      write();
      const pushed = await cli('data', 'push', name, '--json');
      assert.equal(pushed.code, 0, pushed.err);
      const { manifest, samples, files, uploaded } = JSON.parse(pushed.out) as Record<string, number> & { manifest: string };
      assert.deepEqual([samples, uploaded], [15, files]);
      rmSync(join(base, name), { recursive: true });
      const transform = TransformSpec.fromPartial({ inputSize: 40, training: false });
      const plan = Plan.fromPartial({ dataset: { manifest }, batchSize: 8, order: SampleOrder.PADDED, transform });
      const padding: boolean[] = [];
      for await (const { part } of client.getBatch(GetBatchRequest.fromPartial({ plan, index: 1 }), { timeoutMs: 30_000 }))
        if (part?.$case === 'header') padding.push(...part.value.samples.map((sample) => sample.padding));
      assert.deepEqual(padding, [false, false, false, false, false, false, false, true]);
    }
  } finally {
    client.close();
    await service.close();
  }
});

test('index says what it did not read again; a push of what is there sends nothing', async () => {
  writeImageFolder(join(base, 'again'), { perClass: 3, size: 30 });
  const first = await cli('data', 'push', 'again');
  assert.match(first.out, /uploaded +9 of 9 files/);
  assert.match((await cli('data', 'push', 'again')).out, /uploaded +0 of 9 files/);
  const to = join(base, 'elsewhere');
  assert.match((await cli('data', 'push', 'again', '--to', to)).out, /uploaded +9 of 9 files/);
  assert.equal((await cli('data', 'push', 's3://bucket/x')).code, 2);
  assert.equal((await cli('data', 'index', 's3://bucket/x', '--split', 'train')).code, 2);
  const described = JSON.parse((await cli('data', 'index', 'again', '--json')).out) as { samples: number };
  assert.equal(described.samples, 9);
});

test('a data set belongs to the project that indexed it, until it is shared with another one', async () => {
  writeImageFolder(join(base, 'shared'), { perClass: 4, size: 30 });
  const index = await cli('data', 'index', 'shared', '--project', 'birds', '--json');
  const { manifest } = JSON.parse(index.out) as { manifest: string };
  const service = await start(
    dataConfig.parse({ argv: ['--port', '0', '--admin-port', '0', '--store', env.DROPSTREAM_STORE, '--root', join(base, 'shared')] }),
    { logger: silentLogger(), processMetrics: false },
  );
  try {
    const describe = async (project: string) =>
      (await cli('data', 'describe', manifest, '--project', project, '--data', `127.0.0.1:${service.port}`)).code;
    assert.deepEqual([await describe('birds'), await describe('bees')], [0, exitCodes.notFound]);
    const share = async (...more: string[]) => (await cli('data', 'share', manifest, '--project', 'bees', ...more)).code;
    assert.notEqual(await share(), 0, 'no earlier version has indexed it');
    assert.notEqual(await share('--from', 'wasps'), 0);
    assert.equal(await describe('bees'), exitCodes.notFound);
    assert.equal(await share('--from', 'birds'), 0);
    assert.equal(await describe('bees'), 0);
    assert.notEqual((await cli('data', 'share', 'ab'.repeat(32), '--from', 'birds')).code, 0, 'an unknown one');
    // As version 0.1 stored it.
    mkdirSync(join(env.DROPSTREAM_STORE, 'manifest-locations'), { recursive: true });
    writeFileSync(join(env.DROPSTREAM_STORE, 'manifest-locations', manifest), JSON.stringify({ path: join(base, 'shared') }));
    assert.equal(await describe('ants'), exitCodes.notFound);
    assert.equal((await cli('data', 'share', manifest, '--project', 'ants')).code, 0);
    assert.equal(await describe('ants'), 0);
  } finally {
    await service.close();
  }
});

test('Ctrl-C stops an index with 130, and the same command ends it', async () => {
  writeImageFolder(join(base, 'large'), { classes: Array.from({ length: 40 }, (_, k) => `c${k}`), perClass: 40, size: 24 });
  const known = readdirOf(join(env.DROPSTREAM_HOME, 'index')).length;
  const child = spawn(process.execPath, [...nodeOptions(), commandLineEntry, 'data', 'index', 'large'], {
    cwd: base,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  // The memory's folder is made when reading begins.
  for (let tries = 0; tries < 12_000 && child.exitCode === null; tries++) {
    if (readdirOf(join(env.DROPSTREAM_HOME, 'index')).length > known) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  child.kill('SIGINT');
  const [code, ended] = await exited;
  assert.equal(ended, null, 'it ends by itself');
  assert.ok(code === 130 || code === 0, `exit ${code}`);
  const whole = await cli('data', 'index', 'large', '--json');
  assert.equal((JSON.parse(whole.out) as { samples: number }).samples, 1600);
});
