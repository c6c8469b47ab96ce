/** The terminal, environment and signal that a command uses; tests pass their own. */
import { resolve } from 'node:path';
import type { Server } from './contexts.js';
import { processTerminal, type Terminal } from './output/terminal.js';

export interface Context {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Aborted when the process receives SIGTERM. */
  readonly signal: AbortSignal;
  /** The server that --context, DROPSTREAM_CONTEXT or `context use` names. @throws NotFound, InvalidArgument */
  readonly server?: () => Server | undefined;
}

export function processContext(signal: AbortSignal): Context {
  return { terminal: processTerminal(), env: process.env, cwd: process.cwd(), signal };
}

export const homeName = '.dropstream';

/** The folder where `up` and `demo` keep their files: DROPSTREAM_HOME, otherwise .dropstream in the working directory. */
export function homeFolder(context: Pick<Context, 'env' | 'cwd'>): string {
  return resolve(context.cwd, context.env.DROPSTREAM_HOME ?? homeName);
}
