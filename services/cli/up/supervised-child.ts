/**
 * Runs a service as a child process. When it crashes, it is restarted with backoff on the same ports; it is stopped with SIGTERM, then
 * SIGKILL. The child has its own process group, so that Ctrl-C does not reach it directly and services stop in order. If this process
 * crashes, the child's IPC channel closes and the child ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { nodeOptions } from '../service-entry.js';
import { Backoff } from './backoff.js';

export interface Ports {
  readonly port: number;
  readonly adminPort: number;
}

export interface ChildOptions {
  readonly name: string;
  /** Arguments for Node: entry file and command line, without ports. */
  readonly argv: readonly string[];
  /** 0 means any free port at the first start; restarts use the same port. */
  readonly ports: Ports;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Called with each line of its stdout and stderr. */
  readonly onLine: (line: string) => void;
  readonly onEvent: (event: ChildEvent) => void;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly graceMs: number;
  /** For a worker: what the names of its processes begin with. Every process then also learns which of its predecessors have ended. */
  readonly instance?: string | undefined;
}

export type ChildEvent =
  | { readonly kind: 'started'; readonly name: string; readonly pid: number; readonly restarts: number }
  | { readonly kind: 'died'; readonly name: string; readonly how: string; readonly restartInMs: number }
  | { readonly kind: 'stopped'; readonly name: string; readonly how: string };

/** Exit code of a service that refuses its configuration; restarting it would not help. */
const REFUSED = 2;
const START_TIMEOUT_MS = 60_000;
const KEPT_LINES = 8;
/** Number of ended processes that the next one learns of: work of an older one has long been taken over. */
const KEPT_INSTANCES = 16;

export class SupervisedChild {
  #child: ChildProcess | undefined;
  #ports: Ports;
  #tls = false;
  #restarts = 0;
  #stopping = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #backoff = new Backoff();
  readonly #lastLines: string[] = [];
  readonly #ended: string[] = [];

  constructor(private readonly options: ChildOptions) {
    this.#ports = options.ports;
  }

  get name(): string {
    return this.options.name;
  }
  /** Whether the port speaks TLS, as the options of the service say. */
  get tls(): boolean {
    return this.#tls;
  }

  get ports(): Ports {
    return this.#ports;
  }
  get pid(): number | undefined {
    return this.#child?.pid;
  }
  get restarts(): number {
    return this.#restarts;
  }

  /** Resolves once the service serves. A child that ends before that is not restarted. @throws Error with the last lines that it wrote */
  async start(): Promise<Ports> {
    const ports = await this.#launch();
    if (ports instanceof Error) {
      this.#stopping = true;
      throw ports;
    }
    return ports;
  }

  /** Sends SIGTERM, and SIGKILL after the grace period. Resolves when the process has ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    const kill = setTimeout(() => child.kill('SIGKILL'), this.options.graceMs);
    await gone;
    clearTimeout(kill);
  }

  /** Starts a process. @returns its ports once it serves, or the error if it does not start */
  async #launch(): Promise<Ports | Error> {
    const { options } = this;
    const began = performance.now();
    const ports = ['--port', String(this.#ports.port), '--admin-port', String(this.#ports.adminPort)];
    const child = spawn(process.execPath, [...nodeOptions(), ...options.argv, ...ports, ...this.#instanceArguments()], {
      cwd: options.cwd,
      env: { ...options.env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
    });
    this.#child = child;
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.#lastLines.push(line);
        if (this.#lastLines.length > KEPT_LINES) this.#lastLines.shift();
        options.onLine(line);
      });
    }
    let started = false;
    const outcome = new Promise<Ports | Error>((resolve) => {
      const timeout = setTimeout(() => {
        child.kill('SIGKILL');
        resolve(new Error(`${this.name} did not start within ${START_TIMEOUT_MS / 1000} s`));
      }, START_TIMEOUT_MS);
      child.on('message', (message) => {
        const { kind, port, adminPort, tls = false } = message as { kind?: string; port?: number; adminPort?: number; tls?: boolean };
        if (kind !== 'started' || port === undefined || adminPort === undefined) return;
        started = true;
        clearTimeout(timeout);
        this.#ports = { port, adminPort };
        this.#tls = tls;
        options.onEvent({ kind: 'started', name: this.name, pid: child.pid!, restarts: this.#restarts });
        resolve(this.#ports);
      });
      child.once('error', (error) => resolve(new Error(`${this.name}: ${error.message}`)));
      child.once('exit', (code, signal) => {
        clearTimeout(timeout);
        resolve(new Error(`${this.name} ended with ${signal ?? `exit code ${code}`} before it was ready:\n${this.#lastLines.join('\n')}`));
      });
    });
    child.once('exit', (code, signal) => this.#died(code, signal, performance.now() - began, started));
    return outcome;
  }

  #instanceArguments(): string[] {
    const { instance } = this.options;
    if (instance === undefined) return [];
    const ended = this.#ended.slice(-KEPT_INSTANCES);
    const name = `${instance}-${this.#restarts + 1}`;
    this.#ended.push(name);
    return ['--instance', name, ...(ended.length > 0 ? ['--succeeds', ended.join(',')] : [])];
  }

  #died(code: number | null, signal: NodeJS.Signals | null, livedMs: number, started: boolean): void {
    const { options } = this;
    const how = signal ?? `exit code ${code}`;
    const first = !started && this.#restarts === 0;
    if (this.#stopping || first || code === REFUSED) {
      options.onEvent({ kind: 'stopped', name: this.name, how });
      return;
    }
    const restartInMs = this.#backoff.next(livedMs);
    options.onEvent({ kind: 'died', name: this.name, how, restartInMs });
    this.#timer = setTimeout(() => {
      this.#restarts++;
      void this.#launch();
    }, restartInMs);
  }
}
