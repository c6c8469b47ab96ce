/** A real API server of Kubernetes with its etcd, but no nodes and no controllers: it checks and stores objects, and nothing runs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findTool, freePort } from './tool.js';

const START_TIMEOUT_MS = 60_000;
const CALL_TIMEOUT_MS = 20_000;

export interface KubeAnswer {
  readonly status: number;
  /** The object, or the Status that says what is wrong. */
  readonly body: Readonly<Record<string, unknown>> & { readonly message?: string };
  /** Of the header Warning: fields that are not known, or deprecated. */
  readonly warnings: readonly string[];
}

export interface KubeApiserver {
  /** A file for helm's --kubeconfig; its user may do everything. */
  readonly kubeconfig: string;
  call(method: string, path: string, body?: string, contentType?: string): Promise<KubeAnswer>;
  stop(): Promise<void>;
}

/** @returns the running server, or the reason to skip. Whoever starts it stops it. */
export async function startKubeApiserver(): Promise<KubeApiserver | { skip: string }> {
  const [apiserver, etcd] = [await findTool('kube-apiserver'), await findTool('etcd')];
  if ('skip' in apiserver) return apiserver;
  if ('skip' in etcd) return etcd;
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-kube-'));
  const processes: ChildProcess[] = [];
  let output = '';
  const start = (path: string, argv: string[]): void => {
    const child = spawn(path, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output = (output + chunk).slice(-20_000)));
    processes.push(child);
  };
  const stop = async (): Promise<void> => {
    for (const child of processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    }
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const [client, peer, port] = [await freePort(), await freePort(), await freePort()];
    const clientUrl = `http://127.0.0.1:${client}`;
    const peerUrl = `http://127.0.0.1:${peer}`;
    start(etcd.path, [
      ...['--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync', '--listen-client-urls', clientUrl, '--advertise-client-urls', clientUrl],
      ...['--listen-peer-urls', peerUrl, '--initial-advertise-peer-urls', peerUrl, '--initial-cluster', `default=${peerUrl}`],
    ]);
    const token = randomBytes(16).toString('hex');
    const keys = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    await writeFile(join(folder, 'tokens.csv'), `${token},admin,1,system:masters\n`);
    await writeFile(join(folder, 'sa.key'), keys.privateKey);
    await writeFile(join(folder, 'sa.pub'), keys.publicKey);
    start(apiserver.path, [
      ...[`--etcd-servers=${clientUrl}`, '--bind-address=127.0.0.1', `--secure-port=${port}`, '--advertise-address=127.0.0.1'],
      ...['--endpoint-reconciler-type=none', `--cert-dir=${join(folder, 'certs')}`, '--service-cluster-ip-range=10.0.0.0/24'],
      ...['--service-account-issuer=https://kubernetes.default.svc', `--service-account-key-file=${join(folder, 'sa.pub')}`],
      ...[`--service-account-signing-key-file=${join(folder, 'sa.key')}`, '--authorization-mode=RBAC'],
      ...[`--token-auth-file=${join(folder, 'tokens.csv')}`, '--disable-admission-plugins=ServiceAccount'],
    ]);
    // It signs this certificate for itself, with a name that is not that of the address.
    const ca = await untilWritten(join(folder, 'certs', 'apiserver.crt'), () => output);
    const kubeconfig = join(folder, 'kubeconfig.json');
    const server = `https://127.0.0.1:${port}`;
    await writeFile(kubeconfig, JSON.stringify(configFor(server, join(folder, 'certs', 'apiserver.crt'), token)), { mode: 0o600 });
    const call: KubeApiserver['call'] = (method, path, body, contentType = 'application/json') =>
      new Promise((resolve, reject) => {
        const headers = { authorization: `Bearer ${token}`, accept: 'application/json', 'content-type': contentType };
        const options = { method, ca, headers, checkServerIdentity: () => undefined, timeout: CALL_TIMEOUT_MS };
        const sent = request(server + path, options, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString();
            const warnings = [response.headers.warning ?? []].flat();
            resolve({ status: response.statusCode ?? 0, body: parsed(text), warnings });
          });
        });
        sent.on('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer in ${CALL_TIMEOUT_MS} ms`)));
        sent.on('error', reject);
        sent.end(body);
      });
    await untilReady(call, () => output);
    return { kubeconfig, call, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const parsed = (text: string): KubeAnswer['body'] => {
  try {
    return JSON.parse(text) as KubeAnswer['body'];
  } catch {
    return { message: text };
  }
};

const configFor = (server: string, ca: string, token: string) => ({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'test', cluster: { server, 'certificate-authority': ca } }],
  users: [{ name: 'admin', user: { token } }],
  contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
  'current-context': 'test',
});

async function untilWritten(path: string, output: () => string): Promise<string> {
  for (const end = performance.now() + START_TIMEOUT_MS; performance.now() < end; await delay(50)) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.includes('END CERTIFICATE')) return text;
  }
  throw new Error(`kube-apiserver made no certificate:\n${output()}`);
}

async function untilReady(call: KubeApiserver['call'], output: () => string): Promise<void> {
  for (const end = performance.now() + START_TIMEOUT_MS; performance.now() < end; await delay(200)) {
    const answer = await call('GET', '/readyz').catch(() => undefined);
    if (answer?.status === 200) return;
  }
  throw new Error(`kube-apiserver did not become ready:\n${output()}`);
}
