/** Services as processes of the built package, each with its own way to the store, its log in a file and its memory watched. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServiceName } from '../support/processes.js';
import { freePort } from '../support/tool.js';

export const entry = fileURLToPath(new URL('../../bin/dropstream.js', import.meta.url));

const START_MS = 60_000;
const END_MS = 20_000;

export interface ProcessOptions {
  /** Unique; also the name of its log file. */
  readonly name: string;
  readonly service: ServiceName;
  /** After `dropstream serve SERVICE`, without ports. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logs: string;
  /** The program, of this version or of another one; default: of this one. */
  readonly entry?: string;
}

/** A service that is started again on the same port after it was killed. */
export class FleetProcess {
  #child: ChildProcess | undefined;
  #port = 0;
  #frozen = false;
  #ending = false;
  #starting: Promise<void> | undefined;
  /** How often it began to work: at each start, and whenever it was thawed. */
  wakes = 0;
  /** Largest resident memory seen, MiB. */
  mostMib = 0;
  /** How processes ended that nobody ended, and that did not end in order when they were asked to. */
  readonly crashes: string[] = [];

  #options: ProcessOptions;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  get options(): ProcessOptions {
    return this.#options;
  }

  get name(): string {
    return this.options.name;
  }
  get service(): ServiceName {
    return this.options.service;
  }
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }
  get pid(): number | undefined {
    return this.#child?.pid;
  }
  /** Whether it runs and is not frozen. */
  get works(): boolean {
    return this.#runs && !this.#frozen;
  }

  get #runs(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /**
   * Resolves once it serves, or was killed again. Of several faults that killed it at the same time, each starts it again, and there is one process.
   * @throws Error if it does not serve within a minute
   */
  async start(): Promise<void> {
    this.#starting ??= (this.#runs ? Promise.resolve() : this.#launch()).finally(() => {
      this.#starting = undefined;
    });
    await this.#starting;
  }

  async #launch(): Promise<void> {
    const { name, service, argv, env, logs, entry: program = entry } = this.options;
    if (this.#port === 0) this.#port = await freePort();
    const child = spawn(process.execPath, [program, 'serve', service, '--port', String(this.#port), '--admin-port', '0', ...argv], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...env },
    });
    this.#child = child;
    this.wakes++;
    this.#frozen = false;
    this.#ending = false;
    const log = createWriteStream(join(logs, `${name}.log`), { flags: 'a' });
    log.write(`--- process ${child.pid} ---\n`);
    for (const stream of [child.stdout!, child.stderr!]) stream.pipe(log, { end: false });
    child.once('exit', (code, signal) => {
      log.end(`--- process ${child.pid} ended with ${signal ?? code} ---\n`);
      if (!this.#ending) this.crashes.push(`${name} ended by itself with ${signal ?? code}; see its log`);
    });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${name} did not start in ${START_MS / 1000} s`)), START_MS);
      child.once('message', () => {
        clearTimeout(timer);
        resolve();
      });
      child.once('exit', (code, signal) => {
        clearTimeout(timer);
        if (this.#ending) resolve();
        else reject(new Error(`${name} ended with ${signal ?? code} at start`));
      });
    });
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  freeze(): void {
    this.#frozen = true;
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.wakes++;
    this.#frozen = false;
    this.#child?.kill('SIGCONT');
  }

  /** SIGTERM, and SIGKILL for what does not end in time. Both ends that are not in order count as crashes. */
  async stop(): Promise<void> {
    await this.#starting?.catch(() => {});
    if (!this.#runs) return;
    if (this.#frozen) this.thaw();
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), END_MS);
    await this.#end('SIGTERM');
    clearTimeout(timer);
    const { exitCode, signalCode } = this.#child!;
    if (exitCode !== 0) this.crashes.push(`${this.name}, which was asked to end, ended with ${signalCode ?? exitCode}; see its log`);
  }

  /** Ends it in order and starts another version of it, on the same port. */
  async replace(by: Required<Pick<ProcessOptions, 'entry' | 'argv'>>): Promise<void> {
    await this.stop();
    this.#options = { ...this.#options, ...by };
    await this.start();
  }

  /** Reads the resident memory once. */
  measure(): void {
    if (this.#runs) this.mostMib = Math.max(this.mostMib, residentMib(this.#child!.pid!));
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (!this.#runs) return;
    const child = this.#child!;
    this.#ending = true;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }
}

/** Resident memory of a process in MiB; 0 where /proc does not say, or the process has just ended. */
function residentMib(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Process ids of the direct children of a process, by the service that they serve. */
export function childServices(pid: number): Map<string, number> {
  const found = new Map<string, number>();
  for (const child of readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean)) {
    try {
      const argv = readFileSync(`/proc/${child}/cmdline`, 'utf8').split('\0');
      const service = argv[argv.indexOf('serve') + 1];
      if (argv.includes('serve') && service) found.set(service, Number(child));
    } catch {
      // It has ended since it was listed.
    }
  }
  return found;
}
