/** The command line, run in this process. */
import type { Context } from '../../services/cli/context.js';
import { main } from '../../services/cli/main.js';

export interface Ended {
  readonly code: number;
  /** Lines of the output, and those of errors and progress. */
  readonly out: string;
  readonly err: string;
}

export interface RunOptions extends Partial<Pick<Context, 'env'>> {
  readonly cwd: string;
  /** Default: a minute. */
  readonly timeoutMs?: number;
}

/** Runs `dropstream …` to its end, without a terminal; its signal aborts at the timeout. */
export async function runCommandLine(argv: string[], { cwd, env = {}, timeoutMs = 60_000 }: RunOptions): Promise<Ended> {
  const [out, err]: [string[], string[]] = [[], []];
  const terminal = {
    out: (line: string) => void out.push(line),
    err: (line: string) => void err.push(line),
    status() {},
    interactive: false,
    color: false,
    columns: 100,
  };
  const context: Context = { terminal, env, cwd, signal: AbortSignal.timeout(timeoutMs) };
  return { code: await main(argv, context), out: out.join('\n'), err: err.join('\n') };
}
