/**
 * A service as a child process: started again with backoff when it dies, on the ports that it had; stopped with SIGTERM, then SIGKILL.
 * It is in a process group of its own, so that Ctrl-C reaches it through us, in our order; when we die, its IPC channel closes and it ends.
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
  /** Arguments of Node: entry and command line, without ports. */
  readonly argv: readonly string[];
  /** 0: any free one at the first start, the same one from then on. */
  readonly ports: Ports;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Each line of its stdout and stderr. */
  readonly onLine: (line: string) => void;
  readonly onEvent: (event: ChildEvent) => void;
  /** SIGKILL after SIGTERM and this many milliseconds. */
  readonly graceMs: number;
}

export type ChildEvent =
  | { readonly kind: 'started'; readonly name: string; readonly pid: number; readonly restarts: number }
  | { readonly kind: 'died'; readonly name: string; readonly how: string; readonly restartInMs: number }
  | { readonly kind: 'stopped'; readonly name: string; readonly how: string };

/** Exit code with which a service refuses its configuration: starting it again would not help. */
const REFUSED = 2;
const START_TIMEOUT_MS = 60_000;
const KEPT_LINES = 8;

export class SupervisedChild {
  #child: ChildProcess | undefined;
  #ports: Ports;
  #restarts = 0;
  #stopping = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #backoff = new Backoff();
  readonly #lastLines: string[] = [];

  constructor(private readonly options: ChildOptions) {
    this.#ports = options.ports;
  }

  get name(): string {
    return this.options.name;
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

  /** Resolves once the service serves. A child that dies before that is not started again. @throws Error with its last lines */
  async start(): Promise<Ports> {
    const ports = await this.#launch();
    if (ports instanceof Error) {
      this.#stopping = true;
      throw ports;
    }
    return ports;
  }

  /** SIGTERM, SIGKILL after the grace; resolves when it is gone. */
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

  /** Starts a process; its ports once it serves, or why it does not. */
  async #launch(): Promise<Ports | Error> {
    const { options } = this;
    const began = performance.now();
    const ports = ['--port', String(this.#ports.port), '--admin-port', String(this.#ports.adminPort)];
    const child = spawn(process.execPath, [...nodeOptions(), ...options.argv, ...ports], {
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
        const { kind, port, adminPort } = message as { kind?: string; port?: number; adminPort?: number };
        if (kind !== 'started' || port === undefined || adminPort === undefined) return;
        started = true;
        clearTimeout(timeout);
        this.#ports = { port, adminPort };
        options.onEvent({ kind: 'started', name: this.name, pid: child.pid!, restarts: this.#restarts });
        resolve(this.#ports);
      });
      child.once('error', (error) => resolve(new Error(`${this.name}: ${error.message}`)));
      child.once('exit', (code, signal) => {
        clearTimeout(timeout);
        resolve(new Error(`${this.name} ended with ${signal ?? `exit code ${code}`} before it served:\n${this.#lastLines.join('\n')}`));
      });
    });
    child.once('exit', (code, signal) => this.#died(code, signal, performance.now() - began, started));
    return outcome;
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
