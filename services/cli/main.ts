/** The entry of the command line: assembles the commands and maps errors to exit codes. */
import { realpathSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { Command, CommanderError } from 'commander';
import { version } from '#telemetry/version.js';
import { normaliseArguments } from './argument-style.js';
import { addCheckpointsCommand } from './commands/checkpoints.js';
import { addDataCommand } from './commands/data.js';
import { addDemoCommand } from './commands/demo.js';
import { addDoctorCommand } from './commands/doctor.js';
import { addEvaluateCommand } from './commands/evaluate.js';
import { addEvaluationsCommand } from './commands/evaluations.js';
import { addRunsCommand } from './commands/runs.js';
import { addScheduleCommand } from './commands/schedule.js';
import { addServeCommand, serve } from './commands/serve.js';
import { addStoreCommand } from './commands/store.js';
import { addTrainCommand } from './commands/train.js';
import { addUpCommand } from './commands/up.js';
import { type Context, processContext } from './context.js';
import { CommandError, describeError, exitCodeMeanings, exitCodeOf, exitCodes } from './exit-codes.js';
import { paint } from './output/terminal.js';

/** Runs one command line (without node and script) and prints its result or error. @returns the exit code */
export async function main(argv: readonly string[], context: Context): Promise<number> {
  const program = createProgram(context);
  try {
    if (argv[0] === 'serve' && argv.length > 1 && !argv[1]!.startsWith('-')) await serve(argv.slice(1));
    else await program.parseAsync(normaliseArguments(argv), { from: 'user' });
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

export function createProgram(context: Context): Command {
  const program = new Command('dropstream')
    .description('Train vision transformers with early, late and standard dropout, as gRPC services.')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.terminal.out(text.replace(/\n$/, '')),
      writeErr: (text) => context.terminal.err(text.replace(/\n$/, '')),
    })
    .showHelpAfterError('(use --help to list the options)')
    .addHelpText(
      'after',
      () => `\nExit codes:\n${exitCodeMeanings.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`).join('\n')}`,
    );
  const commands = [
    addDemoCommand,
    addUpCommand,
    addServeCommand,
    addTrainCommand,
    addRunsCommand,
    addCheckpointsCommand,
    addEvaluateCommand,
    addEvaluationsCommand,
    addScheduleCommand,
    addDataCommand,
    addStoreCommand,
    addDoctorCommand,
  ];
  for (const add of commands) add(program, context);
  return program;
}

/** Runs main() with the arguments and signals of this process and sets its exit code. A started service keeps the process running. */
export async function runProcess(): Promise<void> {
  const ended = new AbortController();
  const argv = process.argv.slice(2);
  // Services handle signals themselves.
  if (argv[0] !== 'serve') process.once('SIGTERM', () => ended.abort());
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // `dropstream … | head` closes the pipe when it has read enough.
    if (error.code === 'EPIPE') process.exit(exitCodes.ok);
  });
  const code = await main(argv, processContext(ended.signal));
  if (code !== exitCodes.ok) process.exitCode = code;
}

const script = process.argv[1];
if (script && import.meta.url === pathToFileURL(realpathSync(script)).href) await runProcess();
