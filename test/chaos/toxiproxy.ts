/** toxiproxy as a process, and its HTTP interface: named TCP proxies whose connections can be cut, slowed down, reset or truncated. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../support/tool.js';

export interface Toxic {
  readonly type: 'latency' | 'reset_peer' | 'limit_data' | 'timeout';
  readonly stream: 'upstream' | 'downstream';
  readonly attributes: Readonly<Record<string, number>>;
}

const REQUEST_MS = 5000;

export class Toxiproxy {
  private constructor(
    private readonly process: ChildProcess,
    private readonly url: string,
  ) {}

  /** Whoever starts it stops it. */
  static async start(path: string): Promise<Toxiproxy> {
    const port = await freePort();
    const child = spawn(path, ['-host', '127.0.0.1', '-port', String(port)], { stdio: ['ignore', 'ignore', 'ignore'] });
    const proxy = new Toxiproxy(child, `http://127.0.0.1:${port}`);
    for (const end = performance.now() + 10_000; ; await delay(50)) {
      const up = await fetch(`${proxy.url}/version`, { signal: AbortSignal.timeout(1000) }).then(
        ({ ok }) => ok,
        () => false,
      );
      if (up) return proxy;
      if (performance.now() > end || child.exitCode !== null) {
        child.kill('SIGKILL');
        throw new Error('toxiproxy did not start within 10 s');
      }
    }
  }

  /** @returns host:port of the new proxy */
  async create(name: string, upstream: string): Promise<string> {
    const made = await this.#send('POST', '/proxies', { name, listen: '127.0.0.1:0', upstream, enabled: true });
    return (made as { listen: string }).listen;
  }

  /** While it is off, connections are closed and refused. */
  async enable(name: string, enabled: boolean): Promise<void> {
    await this.#send('POST', `/proxies/${name}`, { enabled });
  }

  async add(name: string, toxic: Toxic): Promise<void> {
    await this.#send('POST', `/proxies/${name}/toxics`, { name: toxic.type, toxicity: 1, ...toxic });
  }

  async remove(name: string, type: Toxic['type']): Promise<void> {
    await this.#send('DELETE', `/proxies/${name}/toxics/${type}`);
  }

  /** All proxies work again, without toxics. */
  async heal(): Promise<void> {
    await this.#send('POST', '/reset');
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill('SIGKILL');
    await once(this.process, 'exit');
  }

  async #send(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      signal: AbortSignal.timeout(REQUEST_MS),
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`toxiproxy: ${method} ${path}: ${response.status} ${text.slice(0, 200)}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}
