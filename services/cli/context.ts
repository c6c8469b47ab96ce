/** What a command may use of the world, so that tests can pass their own. */
import { resolve } from 'node:path';
import { processTerminal, type Terminal } from './output/terminal.js';

export interface Context {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborted when the process is asked to end (SIGTERM, or SIGINT outside of a command that asks). */
  readonly signal: AbortSignal;
}

export function processContext(signal: AbortSignal): Context {
  return { terminal: processTerminal(), env: process.env, cwd: process.cwd(), signal };
}

/** The folder of what `up` and `demo` keep: DROPSTREAM_HOME, else .dropstream in the working directory. */
export function homeFolder(context: Pick<Context, 'env' | 'cwd'>): string {
  return resolve(context.cwd, context.env.DROPSTREAM_HOME ?? '.dropstream');
}
