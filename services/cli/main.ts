/** The entry of the command line: runs a command and maps its error to an exit code. */
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { CommanderError } from 'commander';
import { redacted } from '#errors/redact.js';
import { normaliseArguments } from './argument-style.js';
import { serve } from './commands/serve.js';
import { type Context, processContext } from './context.js';
import { CommandError, describeError, exitCodeOf, exitCodes } from './exit-codes.js';
import { paint } from './output/terminal.js';
import { tracedCommand } from './traced-command.js';

/** Runs one command line (without node and script) and prints its result or error. @returns the exit code */
export async function main(argv: readonly string[], given: Context): Promise<number> {
  const context = withoutSecrets(given);
  try {
    if (argv[0] === 'serve' && argv.length > 1 && !argv[1]!.startsWith('-')) await serve(argv.slice(1));
    else await runCommand(argv, context);
    return exitCodes.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (context.signal.aborted) return exitCodes.interrupted;
    const code = exitCodeOf(error);
    context.terminal.status('');
    const label = code === exitCodes.interrupted && error instanceof CommandError ? '' : paint(context.terminal, 'red', 'error: ');
    context.terminal.err(`${label}${describeError(error)}`);
    if (context.env.DROPSTREAM_DEBUG && error instanceof Error) context.terminal.err(String(error.stack));
    return code;
  }
}

/** Notes and errors hold no secret. A result may: a new token, or the URLs of a checkpoint. */
function withoutSecrets({ terminal, ...others }: Context): Context {
  const err = (line: string): void => terminal.err(redacted(line));
  const status = (line: string): void => terminal.status(redacted(line));
  return { ...others, terminal: { ...terminal, err, status } };
}

/** A service does not load the commands, so that it is back soon after it was killed. */
async function runCommand(argv: readonly string[], context: Context): Promise<void> {
  const { createProgram } = await import('./program.js');
  await createProgram(context).parseAsync(normaliseArguments(argv), { from: 'user' });
}

/** Runs main() with the arguments and signals of this process and sets its exit code. A started service keeps the process running. */
export async function runProcess(): Promise<void> {
  const ended = new AbortController();
  const argv = process.argv.slice(2);
  // Services handle signals themselves.
  if (argv[0] !== 'serve') process.once('SIGTERM', () => ended.abort());
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `dropstream … | head` closes the pipe when it has read enough. A service goes on; its audit sees that it cannot be written.
    if (error.code === 'EPIPE' && argv[0] !== 'serve') process.exit(exitCodes.ok);
  });
  const code = await tracedCommand(argv, () => main(argv, processContext(ended.signal)));
  if (code !== exitCodes.ok) process.exitCode = code;
}

const script = process.argv[1];
if (script && import.meta.url === pathToFileURL(realpathSync(script)).href) await runProcess();
