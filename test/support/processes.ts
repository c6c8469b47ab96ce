/** Services as real processes (`dropstream serve …`), for tests that kill, stop and restart them. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

export const sourceFlags = ['--conditions=source', `--import=${import.meta.resolve('tsx')}`];
/** Whether `dropstream` is what was built, which starts twice as fast, and not the sources; scripts/run-tests.mjs says so where it is up to date. */
const built = process.env.DROPSTREAM_TESTED === 'built';
/** The file that is `dropstream`, and the options of the Node that runs it. */
export const cliPath = fileURLToPath(new URL(built ? '../../dist/services/cli/main.js' : '../../services/cli/main.ts', import.meta.url));
export const cliFlags: readonly string[] = built ? [] : sourceFlags;

export type ServiceName = 'data' | 'scheduler' | 'trainer' | 'evaluator';

export interface ServiceProcess {
  readonly service: ServiceName;
  /** gRPC. */
  readonly address: string;
  /** http://host:port of /metrics, /livez, /readyz. */
  readonly admin: string;
  readonly process: ChildProcess;
  /** Everything it wrote so far. */
  log(): string;
  /** Sends the signal and waits for the end. @returns exit code, or the signal that ended it */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

function inside([command, ...args]: readonly string[]): { readonly execPath?: string; readonly execArgv: string[] } {
  return command === undefined ? { execArgv: [...cliFlags] } : { execPath: command, execArgv: [...args, process.execPath, ...cliFlags] };
}

/** Starts one service on free ports and waits until it serves. Killed with the test. */
export async function startService(
  t: Pick<TestContext, 'after'>,
  service: ServiceName,
  argv: string[],
  env: Record<string, string> = {},
  /** What the command begins with, for example to run in another network. */
  within: readonly string[] = [],
): Promise<ServiceProcess> {
  const child = fork(cliPath, ['serve', service, '--port', '0', '--admin-port', '0', '--drain-delay-ms', '0', ...argv], {
    ...inside(within),
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, NODE_TEST_CONTEXT: '', ...env },
  });
  let log = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk: Buffer) => (log += chunk.toString()));
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  const ports = await new Promise<{ port: number; adminPort: number }>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${service} did not start in 60 s:\n${log}`)), 60_000);
    child.once('exit', (code, signal) => reject(new Error(`${service} ended with ${code ?? signal} at start:\n${log}`)));
    child.once('message', (message: { port: number; adminPort: number }) => resolve(message));
    child.once('message', () => clearTimeout(timer));
    child.once('exit', () => clearTimeout(timer));
  });
  return {
    service,
    address: `127.0.0.1:${ports.port}`,
    admin: `http://127.0.0.1:${ports.adminPort}`,
    process: child,
    log: () => log,
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await once(child, 'exit');
      }
      return child.exitCode ?? child.signalCode!;
    },
  };
}
