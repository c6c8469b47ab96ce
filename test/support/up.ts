/** `dropstream up` as a process of its own. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { cliFlags, cliPath } from './processes.js';

export interface UpService {
  readonly name: string;
  readonly service: string;
  readonly address: string;
  readonly admin: string;
}

export interface Up {
  readonly services: readonly UpService[];
  readonly process: ChildProcess;
  address(service: string): string;
  /** SIGTERM. @returns exit code */
  stop(): Promise<number | null>;
}

/** Starts everything in `home` and waits for the addresses. Ends with the test. */
export async function startUp(t: TestContext, home: string, argv: string[], env: Record<string, string> = {}): Promise<Up> {
  const child = fork(cliPath, ['up', '--json', ...argv], {
    execArgv: [...cliFlags],
    cwd: home,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env },
  });
  const stop = async (): Promise<number | null> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    return child.exitCode;
  };
  t.after(stop);
  let out = '';
  let err = '';
  child.stderr!.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const services = await new Promise<UpService[]>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`dropstream up printed no addresses in 90 s:\n${err}`)), 90_000);
    child.once('exit', (code) => reject(new Error(`dropstream up ended with ${code}:\n${err}`)));
    child.stdout!.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      if (!out.endsWith('\n')) return;
      clearTimeout(timer);
      resolve((JSON.parse(out) as { services: UpService[] }).services);
    });
  });
  return {
    services,
    process: child,
    stop,
    address: (service) =>
      services
        .filter((one) => one.service === service)
        .map(({ address }) => address)
        .join(','),
  };
}
