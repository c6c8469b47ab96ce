/** Handles Ctrl-C while a run is followed: asks what to do, because the run continues in the service. */
import { createInterface } from 'node:readline/promises';
import type { Context } from '../context.js';

export interface InterruptActions {
  pause(): Promise<void>;
  detach(): void;
}

export interface Interrupt {
  /** Whether a question stands on the terminal. */
  isAsking(): boolean;
  close(): void;
}

/** Listens for SIGINT until close(). A second Ctrl-C, or one without a terminal to ask on, detaches. */
export function askOnInterrupt(context: Pick<Context, 'terminal'>, run: string, actions: InterruptActions): Interrupt {
  let asking: AbortController | undefined;
  const onInterrupt = async () => {
    if (asking || !context.terminal.interactive || !process.stdin.isTTY) {
      asking?.abort();
      return actions.detach();
    }
    asking = new AbortController();
    const readline = createInterface({ input: process.stdin, output: process.stderr });
    readline.on('SIGINT', () => asking?.abort());
    try {
      context.terminal.status('');
      const answer = await readline.question(`\n${run}: [d]etach (the run continues), [p]ause the run, or [c]ontinue to watch? `, {
        signal: asking.signal,
      });
      const choice = answer.trim().toLowerCase()[0];
      if (choice === 'p') await actions.pause();
      else if (choice !== 'c') actions.detach();
    } catch {
      actions.detach();
    } finally {
      readline.close();
      asking = undefined;
    }
  };
  const listener = () => void onInterrupt();
  process.on('SIGINT', listener);
  return { isAsking: () => asking !== undefined, close: () => void process.off('SIGINT', listener) };
}
