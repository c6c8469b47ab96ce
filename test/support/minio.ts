import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'minio';
import { findTool, freePort } from './tool.js';

const ACCESS_KEY = 'dropstream-test';
const SECRET_KEY = 'dropstream-test-secret';
const START_TIMEOUT_MS = 30_000;

/** A real MinIO on a free loopback port with an empty folder of its own. Whoever starts it stops it. */
export interface RunningMinio {
  endpoint: string;
  /** What openStore wants in its environment. */
  env: { DROPSTREAM_S3_ACCESS_KEY: string; DROPSTREAM_S3_SECRET_KEY: string };
  process: ChildProcess;
  /** Makes a bucket and returns the URI of a store in it. */
  createBucket(name: string, prefix?: string): Promise<string>;
  stop(): Promise<void>;
}

/** `folder`: where it keeps its objects; default: a folder of its own. @returns the running server, or the reason to skip */
export async function startMinio(folder?: string): Promise<RunningMinio | { skip: string }> {
  const tool = await findTool('minio');
  if ('skip' in tool) return tool;
  const objects = folder ?? (await mkdtemp(join(tmpdir(), 'dropstream-minio-')));
  const port = await freePort();
  const child = spawn(tool.path, ['server', '--quiet', '--address', `127.0.0.1:${port}`, '--console-address', '127.0.0.1:0', objects], {
    env: { ...process.env, MINIO_ROOT_USER: ACCESS_KEY, MINIO_ROOT_PASSWORD: SECRET_KEY, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' },
    // On a disk that a test fills up, it would complain of every write.
    stdio: ['ignore', 'ignore', folder === undefined ? 'inherit' : 'ignore'],
  });
  const exited = once(child, 'exit');
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await exited;
    }
    await rm(objects, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await untilLive(endpoint, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    endpoint,
    env: { DROPSTREAM_S3_ACCESS_KEY: ACCESS_KEY, DROPSTREAM_S3_SECRET_KEY: SECRET_KEY },
    process: child,
    stop,
    async createBucket(name, prefix) {
      const client = new Client({
        endPoint: '127.0.0.1',
        port,
        useSSL: false,
        accessKey: ACCESS_KEY,
        secretKey: SECRET_KEY,
        region: 'us-east-1',
      });
      await client.makeBucket(name);
      return `s3://${name}${prefix ? `/${prefix}` : ''}?endpoint=${endpoint}&region=us-east-1`;
    },
  };
}

async function untilLive(endpoint: string, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const live = await fetch(`${endpoint}/minio/health/ready`, { signal: AbortSignal.timeout(1000) }).then(
      (response) => response.ok,
      () => false,
    );
    if (live) return;
    if (child.exitCode !== null) throw new Error(`minio ended with ${child.exitCode}`);
    if (performance.now() > deadline) throw new Error('minio did not become ready');
    await delay(50);
  }
}
