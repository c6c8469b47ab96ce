/** The processes of the load test that make many calls, so that the services and the other parts do not wait for them. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { sourceFlags } from '../support/processes.js';
import type { Answers } from './answers.js';

/** A part that runs in a process of its own. `ready` is sent once its calls are open; it ends when it is told to. */
export interface LoadChild {
  readonly ready: Promise<void>;
  /** Ends the part. A part that does not answer in time is a problem: a call hangs. */
  end(withinMs: number): Promise<Answers>;
}

export function startChild(module: string, url: string, options: object): LoadChild {
  const child = fork(fileURLToPath(new URL(module, url)), { execArgv: sourceFlags, serialization: 'advanced' });
  const exited = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`${module} ended with ${code ?? signal}`);
  });
  exited.catch(() => {});
  const message = async (): Promise<unknown> => ((await Promise.race([once(child, 'message'), exited])) as unknown[])[0];
  child.send(options);
  const ready = message().then(() => {});
  ready.catch(() => {});
  return {
    ready,
    async end(withinMs) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<Answers>((resolve) => {
        timer = setTimeout(
          () => resolve({ figures: {}, problems: [`${module} did not end within ${withinMs} ms: a call hangs`] }),
          withinMs,
        );
      });
      try {
        await ready;
        const answers = message() as Promise<Answers>;
        child.send('end');
        return await Promise.race([answers, late]);
      } catch (error) {
        return { figures: {}, problems: [(error as Error).message] };
      } finally {
        clearTimeout(timer);
        if (child.exitCode === null && child.signalCode === null) {
          child.kill('SIGKILL');
          await exited.catch(() => {});
        }
      }
    },
  };
}

/** The child's side: `open` begins the calls with the options, and resolves with a function that ends them. */
export function runChild<O>(open: (options: O) => Promise<() => Promise<Answers>>): void {
  process.once('message', (options: O) => {
    void open(options).then((end) => {
      process.once('message', () => void end().then((answers) => process.send?.(answers)));
      process.send?.('ready');
    });
  });
}
